//! What is wrong between a zone and the cloud.

use std::time::Duration;

use terway_chaos::FaultKind;

/// The faults that hold on the link of one zone. Several may; the worst shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    cut: u32,
    half_open: u32,
    lags: Vec<Duration>,
}

/// What gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Both ways.
    Open,
    /// To the cloud, not from it.
    Half,
    /// Nothing.
    Closed,
}

impl Link {
    /// A fault begins, or is over. False for a fault of another thing.
    pub fn change(&mut self, kind: &FaultKind, on: bool) -> bool {
        let count = |held: &mut u32| *held = if on { *held + 1 } else { held.saturating_sub(1) };
        match kind {
            FaultKind::CutOff => count(&mut self.cut),
            FaultKind::HalfOpen => count(&mut self.half_open),
            FaultKind::SlowLink { lag } if on => self.lags.push(*lag),
            FaultKind::SlowLink { lag } => {
                if let Some(index) = self.lags.iter().position(|held| held == lag) {
                    self.lags.swap_remove(index);
                }
            }
            _ => return false,
        }
        true
    }

    /// What gets through.
    pub fn passage(&self) -> Passage {
        match self {
            Self { cut: 1.., .. } => Passage::Closed,
            Self { half_open: 1.., .. } => Passage::Half,
            _ => Passage::Open,
        }
    }

    /// What a packet takes more than usual, one way.
    pub fn lag(&self) -> Duration {
        self.lags.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_fault_shows_until_it_is_over() {
        let mut link = Link::default();
        let slow = FaultKind::SlowLink { lag: Duration::from_secs(1) };
        assert!(link.change(&FaultKind::HalfOpen, true) && link.change(&slow, true));
        assert!(link.change(&FaultKind::CutOff, true));
        assert_eq!((link.passage(), link.lag()), (Passage::Closed, Duration::from_secs(1)));
        link.change(&FaultKind::CutOff, false);
        assert_eq!(link.passage(), Passage::Half);
        link.change(&FaultKind::HalfOpen, false);
        link.change(&slow, false);
        assert_eq!(link, Link::default());
    }

    #[test]
    fn a_fault_of_another_thing_changes_nothing() {
        let mut link = Link::default();
        assert!(!link.change(&FaultKind::Crash, true));
        assert_eq!(link, Link::default());
    }
}
