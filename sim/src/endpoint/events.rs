//! What becomes of ENIs and NICs, as lines of JSON for whoever watches.
//!
//! Who sees a NIC appear here can make the interface appear in a kernel: that is what the stream is for. It begins
//! with a line `watching`; whoever reads the state after that line misses nothing. A watcher that is too slow is
//! told how many lines it lost, and reads the state again.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use bytes::Bytes;
use futures::stream;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use serde_json::{Value, json};
use terway_core::{
    id::{EniId, InstanceId, Mac},
    time::Clock,
};
use tokio::sync::broadcast::{self, error::RecvError};

use super::reply::utc;
use crate::cloud::{CloudObserver, EniEvent, Removal};

/// Lines that a watcher may be behind: a burst of a thousand ENIs with what comes of each.
const BEHIND_MAX: usize = 8_192;

/// Tells all watchers. It is the cloud's observer.
pub struct Events {
    lines: broadcast::Sender<Bytes>,
    clock: Arc<dyn Clock>,
}

impl Events {
    /// Nobody watches yet.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { lines: broadcast::channel(BEHIND_MAX).0, clock })
    }

    /// A stream of everything from now on.
    pub fn watch(&self) -> impl Body<Data = Bytes, Error = Infallible> + Send + use<> {
        let first = line(json!({ "at": utc(self.clock.now()), "event": "watching" }));
        let next = |(first, mut lines): (Option<Bytes>, broadcast::Receiver<Bytes>)| async move {
            if let Some(first) = first {
                return Some((Ok(Frame::data(first)), (None, lines)));
            }
            match lines.recv().await {
                Ok(line) => Some((Ok(Frame::data(line)), (None, lines))),
                Err(RecvError::Lagged(count)) => {
                    let lost = line(json!({ "event": "lost", "count": count }));
                    Some((Ok(Frame::data(lost)), (None, lines)))
                }
                Err(RecvError::Closed) => None,
            }
        };
        StreamBody::new(stream::unfold((Some(first), self.lines.subscribe()), next))
    }

    fn tell(&self, event: impl FnOnce() -> Value) {
        if self.lines.receiver_count() == 0 {
            return;
        }
        let mut event = event();
        event["at"] = Value::from(utc(self.clock.now()));
        // The last watcher may have gone meanwhile.
        let _watchers = self.lines.send(line(event));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for it")]
fn line(event: Value) -> Bytes {
    Bytes::from(format!("{event}\n"))
}

impl CloudObserver for Events {
    fn eni_changed(&self, instance: Option<&InstanceId>, eni: &EniId, event: EniEvent) {
        let change = match event {
            EniEvent::Created => "created",
            EniEvent::Attaching => "attaching",
            EniEvent::Attached => "attached",
            EniEvent::Detaching => "detaching",
            EniEvent::Detached => "detached",
            EniEvent::Deleting => "deleting",
            EniEvent::Deleted => "deleted",
        };
        self.tell(|| json!({ "event": "eni", "eni": eni, "instance": instance, "change": change }));
    }

    fn addresses_added(&self, eni: &EniId, ips: &[IpAddr]) {
        self.tell(|| json!({ "event": "addresses-added", "eni": eni, "addresses": ips }));
    }

    fn addresses_removed(&self, eni: &EniId, ips: &[IpAddr], _why: &Removal) {
        self.tell(|| json!({ "event": "addresses-removed", "eni": eni, "addresses": ips }));
    }

    fn nic_appeared(&self, instance: &InstanceId, mac: Mac) {
        self.tell(|| json!({ "event": "nic-appeared", "instance": instance, "mac": mac }));
    }

    fn nic_vanished(&self, instance: &InstanceId, mac: Mac) {
        self.tell(|| json!({ "event": "nic-vanished", "instance": instance, "mac": mac }));
    }
}
