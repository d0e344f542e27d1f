//! Addresses of an ENI: what assign and unassign check and do, with the documented codes.

use std::sync::Arc;

use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{Action, Assign, BATCH, CREATE_SECONDARY_MAX, Eni, EniStatus},
    id::EniId,
};

use super::{
    apply::{BAD_STATE, removed_by},
    call::{Call, Refusal, refuse},
    draws::below,
    eni::each_address,
    observer::{News, Removal},
    token::{self, Answer},
    world::World,
};

impl World {
    pub(super) fn assign(&mut self, call: &mut Call, request: &Assign) -> Result<AddressSet, Refusal> {
        let parameters = token::of_assign(request);
        if let Some(Answer::Addresses(set)) = self.replay(call, &request.token, parameters)? {
            return Ok(set);
        }
        let asked = one_kind(call.action, request.count)?;
        let eni = self.changeable(&request.eni)?;
        self.check_room(&eni, request.count)?;
        let mut count = request.count;
        let pool = self.pool(&eni.vswitch)?;
        if count.v6 > 0 && pool.ipv6.is_none() {
            return refuse("InvalidVSwitch.Ipv6NotTurnOn", format!("{} has no IPv6 block", eni.vswitch));
        }
        if call.fate.partial {
            count = scale(count, 1 + below(&mut call.rng, asked - 1));
        }
        let Some(set) = pool.take(count) else {
            return refuse("InvalidVSwitchId.IpNotEnough", format!("{} is exhausted", eni.vswitch));
        };
        self.own(&eni.id, &set);
        self.change(&eni.id, call.now, |eni| {
            eni.addresses.v4.extend(&set.v4);
            eni.addresses.v6.extend(&set.v6);
            eni.addresses.prefixes.extend(&set.prefixes);
        });
        let answer = Answer::Addresses(set.clone());
        self.tokens.keep(call.action, &request.token, parameters, (call.now, call.answered), answer);
        self.tell(News::Added(eni.id.clone(), each_address(&set)));
        call.useful = true;
        Ok(set)
    }

    pub(super) fn unassign(&mut self, call: &mut Call, id: &EniId, set: &AddressSet) -> Result<(), Refusal> {
        let (v4, v6, prefixes) = (set.v4.len(), set.v6.len(), set.prefixes.len());
        one_kind(call.action, AddressCount { v4: v4 as u32, v6: v6 as u32, prefixes: prefixes as u32 })?;
        let eni = self.changeable(id)?;
        if has_repeats(&set.v4) || has_repeats(&set.v6) || has_repeats(&set.prefixes) {
            return refuse("InvalidIp.IpRepeated", "an address is named twice");
        }
        let here = |set: &AddressSet| {
            set.v4.iter().all(|ip| *ip != eni.primary && eni.addresses.v4.contains(ip))
                && set.v6.iter().all(|ip| eni.addresses.v6.contains(ip))
                && set.prefixes.iter().all(|prefix| eni.addresses.prefixes.contains(prefix))
        };
        if !here(set) {
            return refuse("InvalidIp.IpUnassigned", format!("not all are secondary addresses of {id}"));
        }
        self.strip(&eni, set, removed_by(call), call.now);
        call.useful = true;
        Ok(())
    }

    /// Takes addresses off an ENI.
    pub(super) fn strip(&mut self, eni: &Eni, set: &AddressSet, why: Removal, now: tokio::time::Instant) {
        self.change(&eni.id, now, |eni| {
            eni.addresses.v4.retain(|ip| !set.v4.contains(ip));
            eni.addresses.v6.retain(|ip| !set.v6.contains(ip));
            eni.addresses.prefixes.retain(|prefix| !set.prefixes.contains(prefix));
        });
        self.disown(set);
        self.vswitches.get_mut(&eni.vswitch).expect("vSwitches stay").give(set);
        self.tell(News::Removed(eni.id.clone(), each_address(set), why));
    }

    /// An ENI whose addresses may change: `Available` or `InUse`.
    fn changeable(&self, id: &EniId) -> Result<Arc<Eni>, Refusal> {
        let eni = self.existing(id)?;
        match eni.status {
            EniStatus::Available | EniStatus::InUse => Ok(eni),
            status => refuse(BAD_STATE, format!("{id} is {status:?}")),
        }
    }

    fn check_room(&self, eni: &Eni, more: AddressCount) -> Result<(), Refusal> {
        let limits = eni.instance.as_ref().and_then(|id| self.instances.get(id)).map(|found| found.limits);
        let (most4, most6) = limits.map_or((CREATE_SECONDARY_MAX + 1, CREATE_SECONDARY_MAX), |limits| {
            (limits.eni_private_ip_address_quantity, limits.eni_ipv6_address_quantity)
        });
        let slots = (eni.addresses.v4.len() + eni.addresses.prefixes.len()) as u32;
        if slots + more.v4 + more.prefixes > most4 && more.v6 == 0 {
            return refuse("InvalidOperation.Ipv4CountExceeded", format!("{} holds {slots}", eni.id));
        }
        if more.v6 > 0 && most6 == 0 {
            return refuse("InvalidOperation.Ipv6NotSupport", "the instance type has no IPv6");
        }
        if more.v6 > 0 && eni.addresses.v6.len() as u32 + more.v6 > most6 {
            return refuse("InvalidOperation.Ipv6CountExceeded", format!("{} is full", eni.id));
        }
        Ok(())
    }
}

/// How many are named: 1 to [`BATCH`], of one kind, of the family of the action.
fn one_kind(action: Action, count: AddressCount) -> Result<u32, Refusal> {
    let AddressCount { v4, v6, prefixes } = count;
    let v6_action = matches!(action, Action::AssignIpv6Addresses | Action::UnassignIpv6Addresses);
    let (own, foreign) = if v6_action { (v6, v4 + prefixes) } else { (v4 + prefixes, v6) };
    if v4 > 0 && prefixes > 0 {
        return refuse("InvalidParameter.Conflict", "addresses and prefixes in one call");
    }
    if foreign > 0 {
        return refuse("InvalidParameter", "addresses of the other family");
    }
    match own {
        0 => refuse("MissingParameter", "no address is named"),
        1..=BATCH => Ok(own),
        _ => refuse("InvalidParameter", "at most ten in one call"),
    }
}

/// The one kind of `count`, this many.
fn scale(count: AddressCount, given: u32) -> AddressCount {
    let given = |asked: u32| asked.min(given);
    AddressCount { v4: given(count.v4), v6: given(count.v6), prefixes: given(count.prefixes) }
}

fn has_repeats<T: Ord + Copy>(names: &[T]) -> bool {
    let mut sorted = names.to_vec();
    sorted.sort();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}
