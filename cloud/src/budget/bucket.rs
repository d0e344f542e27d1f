//! A token bucket whose rate learns: multiplicative decrease, additive increase.
//!
//! The rate rises with time and not with calls, because others use the same limit: it is worth as much
//! after a quiet quarter of an hour as after a busy one.

use std::time::Duration;

use tokio::time::Instant;

/// What is left of the rate after a refusal.
const DECREASE: f64 = 0.7;
/// How much of the ceiling comes back in a minute: from half to all of it in ten. The account's limits are
/// counted by the minute, so that a faster rise would find the same limit again and again.
const INCREASE: f64 = 0.05;
/// The least rate, as a part of the ceiling: enough to see when the limit is gone.
const FLOOR: f64 = 0.05;
/// After a refusal nothing is called for at least so long (documented).
const HOLD: Duration = Duration::from_secs(1);
/// Float error of a token.
const EPSILON: f64 = 1e-6;

/// A bucket of calls of one action.
#[derive(Clone, Debug)]
pub struct Bucket {
    ceiling: f64,
    /// Calls a minute, as of `at`. A minute's worth is also what the bucket holds.
    rate: f64,
    tokens: f64,
    at: Instant,
    /// No calls before.
    hold: Option<Instant>,
    /// When the rate last fell.
    fell: Option<Instant>,
}

impl Bucket {
    /// A full bucket at its ceiling, in calls a minute.
    pub fn new(per_minute: u32, now: Instant) -> Self {
        let ceiling = f64::from(per_minute.max(1));
        Self { ceiling, rate: ceiling, tokens: ceiling, at: now, hold: None, fell: None }
    }

    /// The rate as of the last refill.
    pub fn per_minute(&self) -> f64 {
        self.rate
    }

    /// Lets time pass until `now`.
    pub fn refill(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        let risen = (self.rate + INCREASE * self.ceiling * minutes).min(self.ceiling);
        // The rate rises along a line, so that its mean is that of its ends.
        self.tokens = (self.tokens + minutes * f64::midpoint(self.rate, risen)).min(risen.max(1.0));
        self.rate = risen;
        self.at = self.at.max(now);
    }

    /// Takes a call at `now`, to which the bucket has been refilled; else the time when one may be left.
    pub fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if let Some(hold) = self.hold.filter(|hold| *hold > now) {
            return Err(hold);
        }
        if self.tokens < 1.0 - EPSILON {
            return Err(now + Duration::from_secs_f64((1.0 - self.tokens) * 60.0 / self.rate));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// The cloud refused a call that was sent at `sent`.
    pub fn throttled(&mut self, now: Instant, sent: Instant, retry_after: Option<Duration>) {
        let hold = now + retry_after.unwrap_or_default().max(HOLD);
        self.hold = Some(self.hold.map_or(hold, |before| before.max(hold)));
        if self.fell.is_some_and(|fell| sent < fell) {
            return;
        }
        self.rate = (self.rate * DECREASE).max((self.ceiling * FLOOR).max(1.0)).min(self.ceiling);
        self.tokens = 0.0;
        self.fell = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn after(bucket: &mut Bucket, now: &mut Instant, time: Duration) {
        *now += time;
        bucket.refill(*now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_worth_is_there_at_once_and_then_one_after_the_other() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(60, now);
        for _ in 0..60 {
            assert_eq!(bucket.take(now), Ok(()));
        }
        assert_eq!(bucket.take(now), Err(now + seconds(1)));
        after(&mut bucket, &mut now, seconds(1));
        assert_eq!(bucket.take(now), Ok(()));
        after(&mut bucket, &mut now, seconds(3_600));
        assert_eq!((0..100).filter(|_| bucket.take(now).is_ok()).count(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_lower_the_rate_to_a_floor_and_time_raises_it_to_the_ceiling() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(100, now);
        bucket.throttled(now, now, None);
        assert!((bucket.per_minute() - 70.0).abs() < 1e-9);
        assert_eq!(bucket.take(now), Err(now + HOLD));
        for _ in 0..50 {
            after(&mut bucket, &mut now, seconds(1));
            bucket.throttled(now, now, None);
        }
        assert!((bucket.per_minute() - 5.0).abs() < 0.1, "{}", bucket.per_minute());
        after(&mut bucket, &mut now, seconds(600));
        assert!((bucket.per_minute() - 55.0).abs() < 0.2, "{}", bucket.per_minute());
        after(&mut bucket, &mut now, seconds(3_600));
        assert!((bucket.per_minute() - 100.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_were_under_way_together_count_as_one_refusal() {
        let now = Instant::now();
        let mut bucket = Bucket::new(100, now);
        let later = now + seconds(2);
        bucket.refill(later);
        bucket.throttled(later, now, None);
        bucket.throttled(later + seconds(1), now, Some(seconds(30)));
        assert!((bucket.per_minute() - 70.0).abs() < 1e-9);
        // What the cloud says of the time counts all the same.
        assert_eq!(bucket.take(later + seconds(2)), Err(later + seconds(31)));
        bucket.throttled(later + seconds(3), later + seconds(2), None);
        assert!((bucket.per_minute() - 49.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_rate_still_lets_calls_through() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(1, now);
        bucket.throttled(now, now, None);
        assert!((bucket.per_minute() - 1.0).abs() < 1e-9);
        after(&mut bucket, &mut now, seconds(60));
        assert_eq!(bucket.take(now), Ok(()));
    }
}
