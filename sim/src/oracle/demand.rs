//! I6: what an agent asks of the cloud, beside what its pods need.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use terway_chaos::{InvariantId, Violation};
use terway_core::{
    cloud::Action,
    id::{ClientToken, EniId, InstanceId, NodeName},
};

use super::Oracle;

/// Requests of one instance.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Not answered for good yet.
    on_order: BTreeMap<ClientToken, (u32, Option<EniId>)>,
    /// Asked at any time: a replay asks for nothing new.
    known: BTreeSet<ClientToken>,
}

/// What a node may ask for at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Most pods on the node that had no address at one time of late.
    pub pending: u32,
    /// Idle addresses that the configuration wants ready.
    pub floor: u32,
    /// Addresses come in lots of this size: 1, or 16 for prefixes.
    pub lot: u32,
    /// Families: a pod in dual stack needs two addresses.
    pub families: u32,
}

impl Allowance {
    /// Most addresses that may be on order at once. Each order in prefix grain also brings a primary
    /// address, and its last lot may be part empty.
    fn most(self) -> u32 {
        let pods = (self.pending + self.floor).next_multiple_of(self.lot);
        let slack = if self.lot > 1 { self.lot + 1 } else { 0 };
        pods * self.families + slack
    }
}

impl Oracle {
    #[expect(clippy::too_many_arguments, reason = "one event with all that is known of it")]
    /// An agent asks for addresses. A token that is under way already asks for nothing new.
    pub fn asks(
        &self,
        at: Duration,
        node: &NodeName,
        instance: &InstanceId,
        action: Action,
        token: Option<&ClientToken>,
        eni: Option<&EniId>,
        addresses: u32,
        allowance: Allowance,
    ) {
        if addresses == 0 {
            return;
        }
        let Some(token) = token else { return };
        let mut inner = self.inner();
        let demand = inner.demand.entry(instance.clone()).or_default();
        demand.on_order.insert(token.clone(), (addresses, eni.cloned()));
        if !demand.known.insert(token.clone()) {
            return;
        }
        let orders: Vec<(u32, Option<EniId>)> = demand.on_order.values().cloned().collect();
        // What was ordered for an ENI that someone took away will not come.
        let comes = |eni: &Option<EniId>| eni.as_ref().is_none_or(|eni| !inner.meddled.contains(eni));
        let on_order: u32 = orders.iter().filter(|(_, eni)| comes(eni)).map(|(count, _)| count).sum();
        if on_order > allowance.most() {
            let detail = format!(
                "{action} asks for {addresses}, which makes {on_order} addresses on order for {} pods without \
                 address and a floor of {}",
                allowance.pending, allowance.floor
            );
            inner.add(Violation::new(InvariantId::I6, at, Some(node.as_str()), detail));
        }
    }

    /// An order was answered for good.
    pub fn answered(&self, instance: &InstanceId, token: Option<&ClientToken>) {
        if let (Some(demand), Some(token)) = (self.inner().demand.get_mut(instance), token) {
            demand.on_order.remove(token);
        }
    }
}
