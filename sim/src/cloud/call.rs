//! One call from its caller to the servers and back.
//!
//! The request is carried by a task of the world, not by the caller's future: an agent that crashes
//! while it waits does not stop its call from being applied. Half of the latency lies before the
//! application and half behind it; the application itself is one instant.

use std::{sync::Arc, time::Duration};

use rand_chacha::{ChaCha8Rng, rand_core::Rng};
use terway_core::{
    cloud::{Action, CloudError},
    id::InstanceId,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    FakeCloud,
    draws::{below, fork},
    fate::Arrival,
    observer::RequestSummary,
    world::World,
};
use crate::time;

/// The three codes of throttling; which one a call gets is drawn.
const THROTTLED: [&str; 3] = ["Throttling", "Throttling.User", "Throttling.Api"];

/// Sleeps only for what is still to come: a timer takes a millisecond even for nothing, which a cloud
/// without latency would spend on every call.
pub(super) async fn wait_until(then: Instant) {
    if then > time::now() {
        time::sleep_until(then).await;
    }
}

/// A refusal by validation: code and message.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// A refusal with a code of the documentation.
pub(super) fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    /// None for an operator client.
    pub(super) caller: Option<InstanceId>,
    pub(super) action: Action,
    /// What it asked for.
    request: RequestSummary,
    /// When it is applied.
    pub(super) now: Instant,
    /// When it has been answered.
    pub(super) answered: Instant,
    /// Draws of what the call brings about.
    pub(super) rng: ChaCha8Rng,
    /// Whether it changed something, or told something.
    pub(super) useful: bool,
    /// What faults do to it.
    pub(super) fate: Arrival,
    fault_rng: ChaCha8Rng,
    request_id: String,
    started: Instant,
    latency: Duration,
    refusal: Duration,
    /// Set when there will be no connection.
    unreachable: Option<Duration>,
    deadline: Instant,
}

impl Call {
    fn error(&self, code: &str, message: &str) -> CloudError {
        CloudError::from_code(self.action, code, message, &self.request_id)
    }

    fn timed_out(&self) -> CloudError {
        CloudError::from_code(self.action, "Timeout", "no answer before the caller gave up", "-")
    }
}

impl FakeCloud {
    /// Makes a call and waits for its answer. Dropping the future leaves the call under way.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        caller: Option<&InstanceId>,
        stream: &std::sync::Mutex<ChaCha8Rng>,
        action: Action,
        request: &RequestSummary,
        apply: impl FnOnce(&mut World, &mut Call) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, CloudError> {
        let rng = fork(&mut stream.lock().expect("drawing does not panic"));
        self.observer().call_started(caller, action, request);
        let call = self.depart(caller.cloned(), action, request.clone(), rng);
        let (answer, answered) = oneshot::channel();
        crate::root::spawn(Arc::clone(self).serve(call, apply, answer));
        let closed = |_| CloudError::from_code(action, "Timeout", "the world ended", "-");
        answered.await.unwrap_or_else(|error| Err(closed(error)))
    }

    fn depart(
        self: &Arc<Self>,
        caller: Option<InstanceId>,
        action: Action,
        request: RequestSummary,
        mut rng: ChaCha8Rng,
    ) -> Call {
        self.with(|world, started| {
            // Every call draws the same numbers in the same order, whatever happens to it.
            let latency = world.model.latency(action).draw(&mut rng);
            let refusal = world.model.refusal.draw(&mut rng);
            let connect = world.model.connect.draw(&mut rng);
            let request_id = format!("{:016X}", rng.next_u64());
            let mut fault_rng = fork(&mut rng);
            let fate = world.faults.departing(action, caller.as_ref(), started, &mut fault_rng);
            let latency = latency.mul_f64(fate.slow);
            let jitter = Duration::from_micros(u64::from(below(&mut rng, 2_000)));
            world.counters.of(action).started += 1;
            Call {
                caller,
                action,
                request,
                now: started + latency / 2,
                answered: started + latency,
                rng,
                useful: false,
                fate: Arrival::default(),
                fault_rng,
                request_id,
                started,
                latency,
                refusal,
                unreachable: fate.unreachable.then_some(connect),
                deadline: started + Duration::from_millis(world.model.timeout_ms) + jitter,
            }
        })
    }

    async fn serve<T>(
        self: Arc<Self>,
        mut call: Call,
        apply: impl FnOnce(&mut World, &mut Call) -> Result<T, Refusal> + Send,
        answer: oneshot::Sender<Result<T, CloudError>>,
    ) {
        let mut answer = Some(answer);
        if let Some(connect) = call.unreachable {
            sleep(connect).await;
            let error = CloudError::from_code(call.action, "Unreachable", "connection refused", "-");
            return self.finish(&call, Err(error), &mut answer);
        }
        if call.now >= call.deadline {
            time::sleep_until(call.deadline).await;
            self.finish(&call, Err(call.timed_out()), &mut answer);
        }
        wait_until(call.now).await;
        if let Some(refused) = self.with(|world, now| world.admit(&mut call, now)) {
            wait_until(time::now() + call.refusal).await;
            return self.finish(&call, Err(refused), &mut answer);
        }
        let outcome = if call.fate.lost {
            Err(call.timed_out())
        } else {
            self.with(|world, now| {
                call.now = now;
                call.answered = now + call.latency / 2;
                apply(world, &mut call)
            })
            .map_err(|refusal| call.error(refusal.code, &refusal.message))
        };
        let outcome = match outcome {
            Ok(_) if call.fate.answer_lost => Err(call.timed_out()),
            Ok(_) if call.fate.answer_error => Err(call.error("InternalError", "the request failed")),
            outcome => outcome,
        };
        let silent = call.fate.lost || matches!(&outcome, Err(error) if error.code == "Timeout");
        if silent || call.answered >= call.deadline {
            time::sleep_until(call.deadline).await;
            return self.finish(&call, Err(call.timed_out()), &mut answer);
        }
        wait_until(call.answered).await;
        self.finish(&call, outcome, &mut answer);
    }

    /// Answers, once.
    fn finish<T>(
        self: &Arc<Self>,
        call: &Call,
        outcome: Result<T, CloudError>,
        answer: &mut Option<oneshot::Sender<Result<T, CloudError>>>,
    ) {
        let Some(answer) = answer.take() else { return };
        let elapsed = time::now() - call.started;
        self.with(|world, _| {
            let counts = world.counters.of(call.action);
            counts.busy += elapsed;
            counts.wasted += u64::from(!call.useful);
            match &outcome {
                Ok(_) => counts.succeeded += 1,
                Err(error) => {
                    counts.failed += 1;
                    *world.counters.codes.entry(error.code.clone()).or_default() += 1;
                }
            }
        });
        let seen = outcome.as_ref().map(|_| ());
        self.observer().call_finished(call.caller.as_ref(), call.action, &call.request, seen, !call.useful);
        // A caller that is gone does not read its answer.
        let _ = answer.send(outcome);
    }
}

impl World {
    /// What the front end says to a call that arrives: faults first, then the buckets.
    fn admit(&mut self, call: &mut Call, now: Instant) -> Option<CloudError> {
        call.fate = self.faults.arriving(call.action, call.caller.as_ref(), now, &mut call.fault_rng);
        if call.fate.lost {
            return None;
        }
        if let Some(code) = &call.fate.refused {
            return Some(call.error(code, "the request was refused"));
        }
        // Drawn for every call, so that one that is throttled draws no more than one that is not.
        let code = THROTTLED[below(&mut call.rng, THROTTLED.len() as u32) as usize];
        (!self.buckets.take(call.action, now))
            .then(|| call.error(code, "request was denied due to request throttling"))
    }
}
