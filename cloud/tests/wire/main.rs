//! The HTTP of the client over real and over made-up connections: what is kept, what is sent again, and
//! whom TLS believes.

mod pipes;
mod server;
mod tls;

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use terway_core::spawn::{Spawner, Task};

/// Tasks of the test's runtime, which ends with the test.
struct Tasks;

impl Spawner for Tasks {
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks of these tests start")]
    fn spawn(&self, _: &'static str, task: Task) {
        tokio::spawn(task);
    }

    fn block(&self, _: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        Box::pin(async move { work() })
    }
}

fn tasks() -> Arc<dyn Spawner> {
    Arc::new(Tasks)
}

fn post(uri: &str) -> Request<Bytes> {
    Request::post(uri).body(Bytes::new()).expect("a valid request")
}
