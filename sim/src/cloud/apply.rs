//! ENIs: what create, attach, detach and delete check and do, with the documented codes.

use std::sync::Arc;

use terway_core::{
    cloud::{BATCH, CREATE_SECONDARY_MAX, CreateEni, Eni, EniStatus},
    id::{EniId, InstanceId, VSwitchId},
};

use super::{
    call::{Call, Refusal, refuse},
    eni::{Labels, NewEni, each_address},
    lifecycle::Step,
    observer::{EniEvent, News, Removal},
    token::{self, Answer, Known},
    vswitch::VSwitchPool,
    world::{InstanceState, World},
};

/// Most security groups of one ENI (documented: ten).
const SECURITY_GROUPS_MAX: usize = 10;

/// A state that does not allow the call.
pub(super) const BAD_STATE: &str = "InvalidOperation.InvalidEniState";

impl World {
    /// The answer that a token's first request got, if this one repeats it.
    pub(super) fn replay(
        &mut self,
        call: &Call,
        token: &terway_core::id::ClientToken,
        parameters: u64,
    ) -> Result<Option<Answer>, Refusal> {
        if token.as_str().is_empty() || token.as_str().len() > 64 || !token.as_str().is_ascii() {
            return refuse("InvalidParameter", "ClientToken must be 1 to 64 ASCII characters");
        }
        match self.tokens.look(call.action, token, parameters, call.now) {
            Known::Never => Ok(None),
            Known::Busy => refuse("IdempotentProcessing", "the first request with this token is in progress"),
            Known::OtherParameters => refuse("IdempotentParameterMismatch", "token used with others"),
            Known::Answered(answer) => Ok(Some(answer)),
        }
    }

    /// The ENI, or the refusal that there is none.
    pub(super) fn existing(&self, eni: &EniId) -> Result<Arc<Eni>, Refusal> {
        match self.live(eni) {
            Some(live) => Ok(Arc::clone(live)),
            None => refuse("InvalidEniId.NotFound", format!("{eni} does not exist")),
        }
    }

    /// The pool of a vSwitch, or the refusal that there is none.
    pub(super) fn pool(&mut self, id: &VSwitchId) -> Result<&mut VSwitchPool, Refusal> {
        match self.vswitches.get_mut(id) {
            Some(pool) => Ok(pool),
            None => refuse("InvalidVSwitchId.NotFound", format!("{id} does not exist")),
        }
    }

    pub(super) fn create(
        &mut self,
        call: &mut Call,
        request: &CreateEni,
        labels: Labels,
    ) -> Result<Eni, Refusal> {
        let parameters = token::of_create(request);
        if let Some(Answer::Eni(eni)) = self.replay(call, &request.token, parameters)? {
            return Ok(Arc::unwrap_or_clone(eni));
        }
        let count = request.count;
        match request.security_groups.len() {
            0 => return refuse("MissingParameter", "SecurityGroupIds is required"),
            1..=SECURITY_GROUPS_MAX => {}
            _ => return refuse("InvalidParameter", "at most ten security groups"),
        }
        if let Some(unknown) = request.security_groups.iter().find(|id| !self.groups.contains_key(*id)) {
            return refuse("InvalidSecurityGroupId.NotFound", format!("{unknown} does not exist"));
        }
        if count.v4 == 0 || count.v4 - 1 > CREATE_SECONDARY_MAX || count.v6 > CREATE_SECONDARY_MAX {
            return refuse("InvalidParameter", "SecondaryPrivateIpAddressCount is 1 to 49");
        }
        if count.prefixes > BATCH {
            return refuse("InvalidParameter", "Ipv4PrefixCount is 1 to 10");
        }
        if count.prefixes > 0 && count.v4 > 1 {
            return refuse("InvalidParameter.Conflict", "addresses and prefixes in one call");
        }
        if self.secondary >= self.model.account_eni_quota {
            return refuse("MaxEniCountExceeded", "the account has as many ENIs as it may");
        }
        let pool = self.pool(&request.vswitch)?;
        if count.v6 > 0 && pool.ipv6.is_none() {
            return refuse("InvalidVSwitch.Ipv6NotTurnOn", format!("{} has no IPv6 block", request.vswitch));
        }
        let Some(addresses) = pool.take(count) else {
            return refuse("InvalidVSwitchId.IpNotEnough", format!("{} is exhausted", request.vswitch));
        };
        let mut tags = request.tags.clone();
        tags.sort();
        let vswitch = request.vswitch.clone();
        let groups = request.security_groups.as_slice().into();
        let new = NewEni { vswitch, instance: None, addresses, tags, groups, primary_nic: false };
        let eni = self.add_eni(new, call.now);
        self.secondary += 1;
        self.counters.enis_created += 1;
        self.label(&eni.id, labels);
        let answer = Answer::Eni(Arc::clone(&eni));
        self.tokens.keep(call.action, &request.token, parameters, (call.now, call.answered), answer);
        self.tell_eni(&eni, EniEvent::Created);
        self.tell(News::Added(eni.id.clone(), each_address(&eni.addresses)));
        call.useful = true;
        Ok(Arc::unwrap_or_clone(eni))
    }

    pub(super) fn attach(
        &mut self,
        call: &mut Call,
        id: &EniId,
        instance: &InstanceId,
    ) -> Result<(), Refusal> {
        let eni = self.existing(id)?;
        let Some(target) = self.instances.get(instance) else {
            return refuse("InvalidEcsId.NotFound", format!("{instance} does not exist"));
        };
        if self.enis.get(id).is_some_and(|record| record.primary_nic) {
            return refuse("InvalidOperation.InvalidEniType", format!("{id} is a primary NIC"));
        }
        if !matches!(target.state, InstanceState::Running | InstanceState::Stopped) {
            return refuse("InvalidOperation.InvalidEcsState", format!("{instance} is {:?}", target.state));
        }
        if eni.status == EniStatus::Attaching && eni.instance.as_ref() == Some(instance) && self.held(id) {
            self.again(call, id, Step::Attach);
            return Ok(());
        }
        if eni.status != EniStatus::Available {
            return refuse(BAD_STATE, format!("{id} is {:?}", eni.status));
        }
        let zone = self.vswitches.get(&eni.vswitch).map(|pool| &pool.zone);
        if zone != Some(&target.zone) {
            return refuse("InvalidOperation.AvailabilityZoneMismatch", "ENI and instance differ in zone");
        }
        if target.enis.len() as u32 >= target.limits.eni_quantity {
            return refuse("EniPerInstanceLimitExceeded", format!("{instance} has as many ENIs as it may"));
        }
        let slots = (eni.addresses.v4.len() + eni.addresses.prefixes.len()) as u32;
        if slots > target.limits.eni_private_ip_address_quantity {
            return refuse("InvalidOperation.Ipv4CountExceeded", format!("{id} has {slots} addresses"));
        }
        if eni.addresses.v6.len() as u32 > target.limits.eni_ipv6_address_quantity {
            return refuse("InvalidOperation.Ipv6CountExceeded", format!("{id} has too many for the type"));
        }
        let target = self.instances.get_mut(instance).expect("found above");
        target.enis.insert(id.clone());
        target.seen.insert(id.clone());
        self.change(id, call.now, |eni| {
            eni.status = EniStatus::Attaching;
            eni.instance = Some(instance.clone());
        });
        let eni = self.existing(id)?;
        self.tell_eni(&eni, EniEvent::Attaching);
        self.begin(id, Step::Attach, call.caller.clone(), false, call.now, &mut call.rng);
        call.useful = true;
        Ok(())
    }

    pub(super) fn detach(
        &mut self,
        call: &mut Call,
        id: &EniId,
        instance: &InstanceId,
    ) -> Result<(), Refusal> {
        let eni = self.existing(id)?;
        let Some(target) = self.instances.get(instance) else {
            return refuse("InvalidEcsId.NotFound", format!("{instance} does not exist"));
        };
        if self.enis.get(id).is_some_and(|record| record.primary_nic) {
            return refuse("InvalidOperation.DetachPrimaryEniNotAllowed", format!("{id} is a primary NIC"));
        }
        if !matches!(target.state, InstanceState::Running | InstanceState::Stopped) {
            return refuse("InvalidOperation.InvalidEcsState", format!("{instance} is {:?}", target.state));
        }
        match eni.status {
            _ if eni.instance.as_ref() != Some(instance) => {
                refuse(BAD_STATE, format!("{id} is not attached to {instance}"))
            }
            EniStatus::InUse => {
                self.begin(id, Step::Detach, call.caller.clone(), false, call.now, &mut call.rng);
                call.useful = true;
                Ok(())
            }
            EniStatus::Detaching => {
                self.again(call, id, Step::Detach);
                Ok(())
            }
            status => refuse(BAD_STATE, format!("{id} is {status:?}")),
        }
    }

    pub(super) fn delete(&mut self, call: &mut Call, id: &EniId) -> Result<(), Refusal> {
        let eni = self.existing(id)?;
        if self.enis.get(id).is_some_and(|record| record.primary_nic) {
            return refuse("InvalidOperation.InvalidEniType", format!("{id} is a primary NIC"));
        }
        match eni.status {
            EniStatus::Available => {
                let record = self.enis.get_mut(id).expect("found above");
                record.doomed_by = removed_by(call);
                self.begin(id, Step::Delete, call.caller.clone(), false, call.now, &mut call.rng);
                call.useful = true;
                Ok(())
            }
            EniStatus::Deleting => {
                self.again(call, id, Step::Delete);
                Ok(())
            }
            status => refuse(BAD_STATE, format!("{id} is {status:?}")),
        }
    }

    fn held(&self, id: &EniId) -> bool {
        self.enis.get(id).is_some_and(|record| record.held)
    }

    /// A transition is asked for once more: that frees one which is held, and is harmless otherwise.
    fn again(&mut self, call: &mut Call, id: &EniId, step: Step) {
        if self.held(id) {
            self.begin(id, step, call.caller.clone(), true, call.now, &mut call.rng);
            call.useful = true;
        }
    }
}

/// To whom a removal by this call is put down.
pub(super) fn removed_by(call: &Call) -> Removal {
    call.caller.clone().map_or(Removal::ByOperator, Removal::ByInstance)
}
