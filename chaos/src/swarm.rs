//! Swarm: draws what goes wrong from the seed.
//!
//! Two draws. First, which classes of faults exist at all in a run and how often each kind strikes: a run with
//! everything at once finds less than many runs with a part each. Then, the schedule: each kind strikes each
//! node as a Poisson process with a stream of its own. Hence adding a node or dropping a kind leaves all other
//! faults as they were.

mod rates;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use rates::{FaultRates, Frequency, Rate};

use crate::draw;
use crate::kind::{Acting, Arg, FaultClass, FaultKind, traits_of};
use crate::schedule::{Fault, Schedule, Target};

/// Most faults that one kind may have on one target: a guard against a rate written per millisecond.
const MOST_PER_STREAM: usize = 100_000;

/// Draws which of the classes exist in a run: each with even chance, and at least one.
///
/// `next` yields 64 random bits. Always takes the same number of them.
pub fn draw_classes(next: &mut impl FnMut() -> u64) -> Vec<FaultClass> {
    let fallback = FaultClass::ALL[(next() % FaultClass::ALL.len() as u64) as usize];
    let kept: Vec<FaultClass> = FaultClass::ALL.into_iter().filter(|_| next() >> 63 == 1).collect();
    if kept.is_empty() { vec![fallback] } else { kept }
}

/// Draws the rates of a run: leaves whole classes of `base` out, and makes each kind up to four times rarer or
/// more frequent. The draw of a kind does not depend on which others `base` has.
pub fn draw_rates(base: &FaultRates, next: &mut impl FnMut() -> u64) -> FaultRates {
    let classes = draw_classes(next);
    let mut drawn = FaultRates::default();
    for name in FaultKind::NAMES {
        let factor = 4_f64.powf(draw::unit_of(next()) * 2.0 - 1.0);
        let class = traits_of(name).expect("the name is of the vocabulary").class;
        if let Some(rate) = base.kinds.get(*name).filter(|_| classes.contains(&class)) {
            let frequency = match rate.frequency {
                Frequency::PerNodeHour(rate) => Frequency::PerNodeHour(rate * factor),
                Frequency::PerHour(rate) => Frequency::PerHour(rate * factor),
            };
            drawn.kinds.insert((*name).to_owned(), Rate { frequency, ..rate.clone() });
        }
    }
    drawn
}

/// Draws the faults of a run of `duration` on these nodes. Depends on nothing but its arguments.
pub fn draw_schedule(rates: &FaultRates, seed: u64, nodes: &[String], duration: Duration) -> Schedule {
    let mut faults = Vec::new();
    for (name, rate) in &rates.kinds {
        match rate.frequency {
            Frequency::PerHour(per_hour) => {
                let object = format!("{name}/cluster");
                strike(&mut faults, name, rate, per_hour, &rate.target, (seed, &object), duration);
            }
            Frequency::PerNodeHour(per_hour) => {
                for node in nodes {
                    let object = format!("{name}/{node}");
                    let target = Target::Node(node.clone());
                    strike(&mut faults, name, rate, per_hour, &target, (seed, &object), duration);
                }
            }
        }
    }
    Schedule::new(faults)
}

/// Adds the faults of one kind on one target.
fn strike(
    faults: &mut Vec<Fault>,
    name: &str,
    rate: &Rate,
    per_hour: f64,
    target: &Target,
    (seed, object): (u64, &str),
    duration: Duration,
) {
    let Some(traits) = traits_of(name).filter(|_| per_hour > 0.0) else { return };
    let mut rng = draw::stream(seed, "faults", object);
    let mut at_ms = 0.0;
    for _ in 0..MOST_PER_STREAM {
        // Exponential gaps make a Poisson process; 1 − u keeps the logarithm finite.
        at_ms += -(1.0 - draw::unit(&mut rng)).ln() * 3_600_000.0 / per_hour;
        let lasts_ms = draw::between(&mut rng, millis(rate.lasts.0), millis(rate.lasts.1));
        let Some(kind) = FaultKind::drawn(name, &rate.args, &mut rng) else { return };
        if at_ms >= millis(duration) as f64 {
            return;
        }
        faults.push(Fault {
            at: Duration::from_millis(at_ms as u64),
            target: target.clone(),
            lasts: if traits.acting == Acting::Once {
                Duration::ZERO
            } else {
                Duration::from_millis(lasts_ms)
            },
            probability: if traits.acting == Acting::PerCall { rate.probability } else { 1.0 },
            kind,
        });
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The arguments given for a kind, by name.
pub(crate) type Given = Vec<(&'static str, Arg)>;
