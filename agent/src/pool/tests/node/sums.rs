//! What the properties ask of a node, counted without the planner's help.

use terway_core::address::{Grain, Stack};

use super::{
    super::super::{plan::STUCK_AFTER, *},
    Node,
};

impl Node {
    /// Whether an ENI has been attaching for too long.
    pub(in crate::pool::tests) fn is_stuck(&self, eni: &PoolEni) -> bool {
        matches!(eni.phase, Phase::Attaching { accepted: Some(at) } if self.now >= at + STUCK_AFTER)
    }

    /// Pods that calls under way will serve, stuck ENIs left out.
    pub(in crate::pool::tests) fn coming(&self) -> u32 {
        let creating: u32 = self.pool.creating.values().map(|creating| creating.units).sum();
        let on_enis = |eni: &PoolEni| match eni.phase {
            Phase::Attaching { .. } if !self.is_stuck(eni) => eni.idle_units(self.stack()),
            Phase::InUse => self.pairs_with(eni, eni.ops.v4.unwrap_or(0), eni.ops.v6.unwrap_or(0)),
            _ => 0,
        };
        creating + self.pool.enis.values().map(on_enis).sum::<u32>()
    }

    /// Pods that wait behind ENIs that do not come.
    pub(in crate::pool::tests) fn stuck(&self) -> u32 {
        let stuck = self.pool.enis.values().filter(|eni| self.is_stuck(eni));
        stuck.map(|eni| eni.idle_units(self.stack())).sum()
    }

    /// Pods that the growth in a plan will serve.
    pub(in crate::pool::tests) fn ordered(&self, plan: &Plan) -> u32 {
        let mut units = 0;
        for (id, eni) in &self.pool.enis {
            let (mut v4, mut v6) = (0, 0);
            for action in &plan.actions {
                if let PoolAction::Assign { eni: at, count } = action
                    && at == id
                {
                    v4 += count.v4 + count.prefixes;
                    v6 += count.v6;
                }
            }
            units += self.pairs_with(eni, v4, v6);
        }
        for action in &plan.actions {
            if let PoolAction::Create { units: created, .. } = action {
                units += created;
            }
        }
        units
    }

    fn pairs_with(&self, eni: &PoolEni, v4: u32, v6: u32) -> u32 {
        let v4 = if eni.grain == Grain::Prefix { v4 * 16 } else { v4 };
        match self.stack() {
            Stack::Ipv4 => v4,
            Stack::Dual => {
                let after = (eni.v4.counts().idle + v4).min(eni.v6.counts().idle + v6);
                after.saturating_sub(eni.idle_units(Stack::Dual))
            }
        }
    }

    pub(in crate::pool::tests) fn stack(&self) -> Stack {
        self.pool.capacity.stack
    }
}
