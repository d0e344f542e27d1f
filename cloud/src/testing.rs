//! What the tests of this crate stand on: a scripted [`Http`], a clock that stands, entropy that counts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use terway_core::{
    entropy::Entropy,
    time::{BootTime, Clock},
};

use crate::{
    credentials::Credentials,
    http::{Http, HttpError},
    secret::Secret,
};

/// What the other side does with a request.
pub(crate) enum Answer {
    Reply(Response<Bytes>),
    /// The same, after a while.
    Late(Duration, Response<Bytes>),
    Fail(HttpError),
    Never,
}

pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Answer {
    Answer::Reply(Response::builder().status(status).body(body.into()).expect("a valid reply"))
}

type Script = Box<dyn FnMut(&Request<Bytes>, usize) -> Answer + Send>;

/// Answers by a script and keeps what it was sent.
pub(crate) struct FakeHttp {
    script: Mutex<Script>,
    seen: Mutex<Vec<Request<Bytes>>>,
}

impl FakeHttp {
    /// The script is told how many requests there were before.
    pub(crate) fn new(script: impl FnMut(&Request<Bytes>, usize) -> Answer + Send + 'static) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(Box::new(script)), seen: Mutex::default() })
    }

    /// Always the same reply.
    pub(crate) fn always(status: u16, body: &'static str) -> Arc<Self> {
        Self::new(move |_, _| reply(status, body))
    }

    pub(crate) fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }
}

#[async_trait]
impl Http for FakeHttp {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let before = self.count();
        let answer = (self.script.lock().expect("no panic"))(&request, before);
        self.seen.lock().expect("no panic").push(request);
        match answer {
            Answer::Reply(response) => Ok(response),
            Answer::Late(time, response) => {
                tokio::time::sleep(time).await;
                Ok(response)
            }
            Answer::Fail(error) => Err(error),
            Answer::Never => std::future::pending().await,
        }
    }
}

/// 2026-01-01T00:00:00Z, and as many seconds later as it is told.
pub(crate) struct StandingClock(pub(crate) AtomicU64);

impl StandingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0)))
    }
}

impl Clock for StandingClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + self.0.load(Relaxed))
    }

    fn boot(&self) -> BootTime {
        BootTime { boot_id: 1, elapsed: Duration::ZERO }
    }
}

/// 1, 2, 3 …
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Relaxed) + 1
    }
}

/// A key whose secrets are easily found where they must not be.
pub(crate) fn key() -> Credentials {
    Credentials {
        key_id: "test-key".to_owned(),
        secret: Secret::new("hidden-secret"),
        token: Some(Secret::new("hidden-token")),
        expires: None,
    }
}
