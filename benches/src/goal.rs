//! Figures beside their goals.

use std::{fmt, hint::black_box, time::Duration};

/// Batches that a figure is the median of.
const BATCHES: usize = 21;
/// How long a batch takes at least: long against the clock's grain.
const BATCH_TIME: Duration = Duration::from_millis(20);

/// What something costs, and what it should cost at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    name: &'static str,
    at_most: Duration,
    measured: Duration,
}

impl Goal {
    /// A figure that was measured elsewhere.
    pub fn of(name: &'static str, at_most: Duration, measured: Duration) -> Self {
        Self { name, at_most, measured }
    }

    /// Measures an operation by itself: the median over batches of the mean time.
    #[expect(clippy::disallowed_types, reason = "real time is what is measured")]
    pub fn measure<T>(name: &'static str, at_most: Duration, mut operation: impl FnMut() -> T) -> Self {
        let mut time = |times: u32| {
            let begun = std::time::Instant::now();
            for _ in 0..times {
                black_box(operation());
            }
            begun.elapsed()
        };
        let mut times = 1;
        while time(times) < BATCH_TIME {
            times *= 2;
        }
        let mut batches: Vec<Duration> = (0..BATCHES).map(|_| time(times) / times).collect();
        batches.sort_unstable();
        Self { name, at_most, measured: batches[BATCHES / 2] }
    }

    /// Prints it.
    pub fn report(&self) {
        println!("{self}");
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        let (goal, measured) = (micros(self.at_most), micros(self.measured));
        write!(f, "goal: {} {goal:.1} us, measured {measured:.2} us, ratio {:.3}", self.name, measured / goal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_printed_beside_its_goal() {
        let goal = Goal::of("planner/full-node", Duration::from_micros(50), Duration::from_nanos(6100));
        assert_eq!(goal.to_string(), "goal: planner/full-node 50.0 us, measured 6.10 us, ratio 0.122");
    }
}
