//! Samples, their percentiles, and ratios beside their goals.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::contest::Who;

/// Samples by what was done, with how many pods there, and by whom.
#[derive(Default)]
pub(crate) struct Figures(BTreeMap<(&'static str, usize, &'static str), Vec<Duration>>);

impl Figures {
    pub(crate) fn note(&mut self, what: &'static str, pods: usize, who: Who, took: Duration) {
        self.0.entry((what, pods, who.name())).or_default().push(took);
    }

    /// A percentile; none where nothing was measured.
    fn percentile(&self, what: &'static str, pods: usize, who: Who, percent: usize) -> Option<Duration> {
        let mut samples = self.0.get(&(what, pods, who.name()))?.clone();
        samples.sort_unstable();
        samples.get((samples.len() * percent / 100).min(samples.len() - 1)).copied()
    }

    /// All medians and 99th percentiles.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "{:<12} {:>5} {:<15} {:>6} {:>10} {:>10}\n",
            "what", "pods", "who", "times", "p50 ms", "p99 ms"
        );
        for ((what, pods, who), samples) in &self.0 {
            let mut sorted = samples.clone();
            sorted.sort_unstable();
            let at = |percent: usize| ms(sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]);
            let _ = writeln!(
                table,
                "{what:<12} {pods:>5} {who:<15} {:>6} {:>10.3} {:>10.3}",
                sorted.len(),
                at(50),
                at(99)
            );
        }
        table
    }

    /// A ratio of medians, beside what it should be at most.
    pub(crate) fn ratio(&self, what: &'static str, pods: usize, ours: Who, theirs: Who, at_most: f64) {
        let median = |who| self.percentile(what, pods, who, 50);
        let name = format!("cni/{what}-{pods}-pods: {} of {}", ours.name(), theirs.name());
        let (Some(a), Some(b)) = (median(ours), median(theirs)) else {
            println!("goal: {name} at most {at_most:.2}, not measured");
            return;
        };
        let ratio = a.as_secs_f64() / b.as_secs_f64();
        let met = if ratio <= at_most { "met" } else { "MISSED" };
        println!(
            "goal: {name} at most {at_most:.2}, measured {ratio:.3} ({:.3} of {:.3} ms): {met}",
            ms(a),
            ms(b)
        );
    }

    /// A median beside what it should be at most.
    pub(crate) fn limit(&self, what: &'static str, who: Who, at_most: Duration) {
        let Some(median) = self.percentile(what, 0, who, 50) else { return };
        let met = if median <= at_most { "met" } else { "MISSED" };
        println!("goal: cni/{what} at most {:.3} ms, measured {:.3} ms: {met}", ms(at_most), ms(median));
    }

    /// Every sample, as comma-separated values.
    pub(crate) fn csv(&self) -> String {
        let mut csv = String::from("what,pods,who,microseconds\n");
        for ((what, pods, who), samples) in &self.0 {
            for sample in samples {
                let _ = writeln!(csv, "{what},{pods},{who},{:.1}", sample.as_secs_f64() * 1e6);
            }
        }
        csv
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
