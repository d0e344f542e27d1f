//! How cloud calls end, and what the pool learns from it.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use terway_core::{
    address::{AddressCount, AddressSet},
    id::{Mac, VSwitchId},
};

use super::{super::super::*, Call, Node, Outcome};
use crate::store::{EniPhase, EniRecord};

/// Growth stops for this long after a refusal, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(300));
const FULL_PAUSE: Duration = Duration::from_secs(60);

impl Node {
    /// Ends a call.
    pub(in crate::pool::tests) fn end(&mut self, call: Call, outcome: Outcome) {
        let now = self.now;
        match (call, outcome) {
            (Call::Create { token, vswitch, count }, Outcome::Done | Outcome::Partial(_)) => {
                self.pool.creating.remove(&token);
                self.pool.vswitches.gave(&vswitch);
                self.pool.unblock();
                let record = self.record(vswitch, count);
                let eni = PoolEni::from_record(&record, self.pool.capacity.grain, now);
                self.pool.enis.insert(record.id.clone(), eni);
                self.calls.push(Call::Attach { eni: record.id });
            }
            (Call::Create { token, vswitch, .. }, outcome) => {
                self.pool.creating.remove(&token);
                self.refuse(&vswitch, outcome);
            }
            (Call::Attach { eni }, Outcome::Quota | Outcome::Denied) => {
                self.block(outcome);
                if let Some(entry) = self.pool.enis.get_mut(&eni) {
                    entry.phase = Phase::Leaving(EniPhase::Deleting);
                    self.calls.push(Call::Remove { eni });
                }
            }
            (Call::Attach { eni }, Outcome::Conflict | Outcome::Exhausted) => {
                // Accepted, and then nothing is heard of it.
                if let Some(entry) = self.pool.enis.get_mut(&eni) {
                    if entry.phase == (Phase::Attaching { accepted: None }) {
                        entry.phase = Phase::Attaching { accepted: Some(now) };
                    }
                    self.calls.push(Call::Attach { eni });
                }
            }
            (Call::Attach { eni }, Outcome::Done | Outcome::Partial(_)) => {
                if let Some(entry) = self.pool.enis.get_mut(&eni) {
                    entry.phase = Phase::InUse;
                    entry.net = Some((Ipv4Net::default(), Ipv4Addr::UNSPECIFIED));
                }
            }
            (Call::Assign { eni, vswitch, count }, outcome) => {
                self.end_assign(&eni, &vswitch, count, outcome);
            }
            (Call::Unassign { eni, set }, outcome) => {
                let Some(entry) = self.pool.enis.get_mut(&eni) else { return };
                entry.ops.release = false;
                if outcome == Outcome::Done {
                    entry.remove(&set);
                } else {
                    entry.set_all(&set, Slot::Idle { since: now });
                    self.pool.over_max_since = Some(now + FULL_PAUSE);
                }
            }
            (Call::Remove { eni }, Outcome::Done) => drop(self.pool.enis.remove(&eni)),
            (Call::Remove { eni }, _) => self.calls.push(Call::Remove { eni }),
        }
    }

    fn end_assign(&mut self, id: &EniId, vswitch: &VSwitchId, count: AddressCount, outcome: Outcome) {
        let given = match outcome {
            Outcome::Done => count,
            Outcome::Partial(part) => AddressCount {
                v4: count.v4.min(part),
                v6: count.v6.min(part),
                prefixes: count.prefixes.min(part),
            },
            _ => AddressCount::default(),
        };
        let set = self.fresh(given);
        let now = self.now;
        let Some(eni) = self.pool.enis.get_mut(id) else {
            self.pool.vswitches.ended(vswitch);
            return;
        };
        *(if count.v6 > 0 { &mut eni.ops.v6 } else { &mut eni.ops.v4 }) = None;
        if given.is_zero() {
            if outcome == Outcome::Conflict {
                eni.full_until = now + FULL_PAUSE;
            }
            self.refuse(vswitch, outcome);
        } else {
            eni.add(&set, Slot::Idle { since: now });
            self.pool.vswitches.gave(vswitch);
            self.pool.unblock();
        }
    }

    fn refuse(&mut self, vswitch: &VSwitchId, outcome: Outcome) {
        if outcome == Outcome::Exhausted {
            self.pool.vswitches.exhausted(vswitch, self.now);
        } else {
            self.pool.vswitches.ended(vswitch);
            self.block(outcome);
        }
    }

    fn block(&mut self, outcome: Outcome) {
        let cause = match outcome {
            Outcome::Quota => Cause::Quota { code: "EniPerInstanceLimitExceeded".into() },
            Outcome::Denied => Cause::Denied {
                action: "CreateNetworkInterface".into(),
                code: "Forbidden.RAM".into(),
                message: "not authorised".into(),
            },
            _ => return,
        };
        self.pool.block(cause, PAUSE.0, PAUSE.1, self.now);
    }

    /// Record of a new ENI, with addresses that nobody had before.
    fn record(&mut self, vswitch: VSwitchId, count: AddressCount) -> EniRecord {
        let addresses = self.fresh(count);
        EniRecord {
            id: format!("eni-{:04}", self.next()).into(),
            mac: Mac([0; 6]),
            vswitch,
            net: None,
            gateway6: None,
            primary: addresses.v4[0],
            phase: EniPhase::Attaching,
            addresses,
        }
    }

    fn fresh(&mut self, count: AddressCount) -> AddressSet {
        let prefix = |n: u32| Ipv4Net::new(Ipv4Addr::from_bits((11 << 24) + n * 16), 28).expect("28 bits");
        let v6 = |n: u32| Ipv6Addr::from_bits((0xfd << 120) + u128::from(n));
        AddressSet {
            v4: (0..count.v4).map(|_| Ipv4Addr::from_bits((10 << 24) + self.next())).collect(),
            v6: (0..count.v6).map(|_| v6(self.next())).collect(),
            prefixes: (0..count.prefixes).map(|_| prefix(self.next())).collect(),
        }
    }
}
