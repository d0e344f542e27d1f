//! Credentials of a role: fetched, renewed in time, one renewal at a time, and kept while they live.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::testing::{Answer, FakeHttp, StandingClock, reply};

/// A role whose keys are numbered and live for six hours from when they are asked for.
struct Service {
    keys: AtomicUsize,
    down: AtomicBool,
    slow: AtomicBool,
    start: Instant,
    lives: AtomicU64,
}

/// The wall clock of the tests goes with their virtual time.
struct Wall(Instant);
impl Clock for Wall {
    fn now(&self) -> SystemTime {
        StandingClock::new().now() + self.0.elapsed()
    }
    fn boot(&self) -> terway_core::time::BootTime {
        terway_core::time::BootTime { boot_id: 1, elapsed: self.0.elapsed() }
    }
}

fn service() -> (Arc<Service>, RoleCredentials) {
    let service = Arc::new(Service {
        keys: AtomicUsize::new(0),
        down: AtomicBool::new(false),
        slow: AtomicBool::new(false),
        start: Instant::now(),
        lives: AtomicU64::new(6 * 3_600),
    });
    let behind = service.clone();
    let http = FakeHttp::new(move |request, _| {
        if behind.down.load(Relaxed) {
            return reply(500, "");
        }
        match request.uri().path() {
            "/latest/api/token" => reply(200, "token"),
            "/latest/meta-data/ram/security-credentials/" => reply(200, "terway\n"),
            "/latest/meta-data/ram/security-credentials/terway" => {
                let number = behind.keys.fetch_add(1, Relaxed) + 1;
                let now = 1_767_225_600 + behind.start.elapsed().as_secs() + behind.lives.load(Relaxed);
                let ends = jiff::Timestamp::from_second(now.cast_signed()).expect("a time");
                let body = format!(
                    r#"{{"AccessKeyId": "STS.{number}", "AccessKeySecret": "hidden", "SecurityToken": "hidden",
                        "Expiration": "{ends}", "LastUpdated": "2026-01-01T00:00:00Z", "Code": "Success"}}"#
                );
                let response = http::Response::new(body.into());
                let time = Duration::from_millis(if behind.slow.load(Relaxed) { 1_500 } else { 0 });
                Answer::Late(time, response)
            }
            other => panic!("{other}"),
        }
    });
    let clock = Arc::new(Wall(service.start));
    (service, RoleCredentials::new(Arc::new(MetadataClient::new(http, "http://meta")), clock))
}

async fn key(role: &RoleCredentials) -> String {
    role.credentials().await.expect("there").key_id.clone()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_kept_until_ten_minutes_before_their_end() {
    let (_, role) = service();
    let first = role.credentials().await.expect("there");
    assert_eq!(
        (first.key_id.as_str(), role.origin().as_str()),
        ("STS.1", "RAM role `terway` of the instance")
    );
    assert!(first.token.is_some() && first.expires.is_some());
    pass(6 * 3_600 - 602).await;
    assert_eq!(key(&role).await, "STS.1");
    pass(2).await;
    assert_eq!(key(&role).await, "STS.2");
}

#[tokio::test(start_paused = true)]
async fn while_they_live_the_old_ones_serve_a_service_that_is_away() {
    let (service, role) = service();
    assert_eq!(key(&role).await, "STS.1");
    pass(6 * 3_600 - 600).await;
    service.down.store(true, Relaxed);
    assert_eq!(key(&role).await, "STS.1");
    // The next try is not made with every call.
    let before = Instant::now();
    assert_eq!(key(&role).await, "STS.1");
    assert_eq!(before.elapsed(), Duration::ZERO);
    pass(600).await;
    let error = role.credentials().await.expect_err("they ended");
    assert!(error.transient() && error.to_string().contains("answers 500"), "{error}");
    service.down.store(false, Relaxed);
    assert_eq!(key(&role).await, "STS.2");
}

#[tokio::test(start_paused = true)]
async fn one_renewal_at_a_time_and_nobody_waits_for_it_who_has_a_living_key() {
    let (service, role) = service();
    service.slow.store(true, Relaxed);
    let (one, two, three) = tokio::join!(key(&role), key(&role), key(&role));
    assert_eq!((one.as_str(), two.as_str(), three.as_str()), ("STS.1", "STS.1", "STS.1"));
    pass(6 * 3_600 - 600).await;
    let (renewing, meanwhile) = tokio::join!(key(&role), key(&role));
    assert_eq!((renewing.as_str(), meanwhile.as_str()), ("STS.2", "STS.1"));
    assert_eq!(service.keys.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_given_up_leaves_the_turn_to_the_next() {
    let (service, role) = service();
    service.slow.store(true, Relaxed);
    let given_up = tokio::time::timeout(Duration::from_secs(1), role.credentials()).await;
    assert!(given_up.is_err());
    assert_eq!(key(&role).await, "STS.2");
}

#[tokio::test(start_paused = true)]
async fn what_the_cloud_calls_expired_is_not_used_again() {
    let (_, role) = service();
    let first = role.credentials().await.expect("there");
    role.expired(&first);
    assert_eq!(key(&role).await, "STS.2");
    // Word of the old key comes late: the new one stays.
    role.expired(&first);
    assert_eq!(key(&role).await, "STS.2");
}

#[tokio::test(start_paused = true)]
async fn broken_answers_are_told_without_their_secrets() {
    for (body, says) in [
        (r#"{"AccessKeySecret": "hidden""#, "are not JSON"),
        (r#"{"Code": "Failed", "AccessKeySecret": "hidden"}"#, "have the code `Failed`"),
        (r#"{"Code": "Success", "AccessKeySecret": "hidden", "Expiration": "soon"}"#, "`soon`, not a time"),
        (
            r#"{"Code": "Success", "AccessKeySecret": "hidden", "Expiration": "2026-01-01T06:00:00Z"}"#,
            "AccessKeyId is empty",
        ),
    ] {
        let http = FakeHttp::new(move |request, _| match request.uri().path() {
            "/latest/meta-data/ram/security-credentials/" => reply(200, "terway"),
            "/latest/meta-data/ram/security-credentials/terway" => reply(200, body),
            _ => reply(404, ""),
        });
        let metadata = Arc::new(MetadataClient::new(http, "http://meta"));
        let error = RoleCredentials::new(metadata, StandingClock::new()).credentials().await.expect_err(body);
        let shown = error.to_string();
        assert!(shown.contains(says) && !shown.contains("hidden"), "{shown}");
    }
}
