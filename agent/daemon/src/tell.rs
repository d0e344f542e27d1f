//! What the programs tell, from the ring buffer to whoever listens: the audit log, and `terway-cli policy events`.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};
use terway_agent::policy::{Policy, Told};
use terway_bpf::{events::Events, port::KernelMaps};
use terway_core::{
    id::NodeName,
    spawn::{self, Spawner},
    time::Clock,
};
use tokio::{
    io::{AsyncWriteExt as _, unix::AsyncFd},
    net::UnixStream,
    sync::broadcast,
    time::{interval, timeout},
};

use crate::{
    audit::Audit,
    metrics::Metrics,
    socket::{self, SocketError},
};

/// Events that are described together.
const BATCH: usize = 256;
/// Lines that a listener may be behind before it loses some.
const BEHIND: usize = 4096;
/// How often what was not told is counted.
const ACCOUNT: Duration = Duration::from_secs(10);
/// Listeners at a time.
const LISTENERS: usize = 8;
/// A listener that takes nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that telling needs.
pub(crate) struct Teller {
    pub(crate) node: NodeName,
    pub(crate) events: Events,
    pub(crate) maps: Arc<KernelMaps>,
    pub(crate) policy: Policy,
    pub(crate) audit: Option<Audit>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A line as the audit log has it and listeners get it.
pub(crate) fn line(node: &NodeName, told: &Told, at: SystemTime) -> Value {
    let mut line = Map::new();
    let pod = |pod: &Option<String>| pod.clone().map_or(Value::Null, Value::from);
    let fields = [
        ("timestamp", timestamp(at)),
        ("event_type", "network_policy".into()),
        ("action", if told.passed { "ALLOW" } else { "DENY" }.into()),
        ("severity", json!(told.severity)),
        ("reason", told.reason.into()),
        ("description", told.description.clone().into()),
        ("node", node.as_str().into()),
        ("direction", told.direction.into()),
        ("protocol", told.protocol.clone().into()),
        ("source_ip", told.source.ip.to_string().into()),
        ("source_port", told.source.port.into()),
        ("source_pod", pod(&told.source.pod)),
        ("destination_ip", told.destination.ip.to_string().into()),
        ("destination_port", told.destination.port.into()),
        ("destination_pod", pod(&told.destination.pod)),
        ("policies", told.policies.clone().into()),
        ("rule", told.rule.map_or(Value::Null, Value::from)),
        ("length", told.length.into()),
    ];
    line.extend(fields.into_iter().map(|(key, value)| (key.to_owned(), value)));
    Value::Object(line)
}

fn timestamp(at: SystemTime) -> Value {
    Timestamp::try_from(at).map_or(Value::Null, |at| at.to_string().into())
}

/// A line about packets that were denied and not told one by one.
fn untold(node: &NodeName, packets: u64, at: SystemTime) -> Value {
    json!({
        "timestamp": timestamp(at),
        "event_type": "network_policy_summary",
        "action": "DENY",
        "severity": "MEDIUM",
        "reason": "rate-limit",
        "description": format!("{packets} more packets were denied and not told one by one"),
        "node": node.as_str(),
        "source_ip": Value::Null,
        "destination_ip": Value::Null,
        "packets": packets,
    })
}

/// Starts telling, and listens for listeners.
pub(crate) fn start(
    teller: Teller,
    at: Option<&Path>,
    spawner: &Arc<dyn Spawner>,
) -> Result<(), SocketError> {
    let (live, _) = broadcast::channel::<Arc<str>>(BEHIND);
    if let Some(path) = at {
        let listener = socket::listen(path)?;
        let (live, listening) = (live.clone(), spawner.clone());
        spawn::spawn(spawner, "policy-listeners", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                if live.receiver_count() < LISTENERS {
                    spawn::spawn(&listening, "policy-listener", listen(stream, live.subscribe()));
                }
            }
        });
    }
    spawn::spawn(spawner, "policy-events", async move {
        if let Err(error) = tell(teller, live).await {
            tracing::error!(%error, "nothing is told of denied packets any more");
        }
    });
    Ok(())
}

/// One listener, until it goes or does not take what it is given.
async fn listen(mut stream: UnixStream, mut live: broadcast::Receiver<Arc<str>>) {
    loop {
        let line = match live.recv().await {
            Ok(line) => line,
            Err(broadcast::error::RecvError::Lagged(lines)) => {
                json!({"event_type": "lost", "description": format!("{lines} events were lost: they came faster than they were read")})
                    .to_string()
                    .into()
            }
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let send = async {
            stream.write_all(line.as_bytes()).await?;
            stream.write_all(b"\n").await
        };
        if !matches!(timeout(PATIENCE, send).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn tell(mut teller: Teller, live: broadcast::Sender<Arc<str>>) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "for descriptors that are closed while they are registered; this one is owned"
    )]
    let mut events = AsyncFd::new(teller.events)?;
    let mut account = interval(ACCOUNT);
    let (mut denied_before, mut told_denied) = (denied(&teller.maps), 0u64);
    loop {
        let batch = tokio::select! {
            ready = events.readable_mut() => {
                let mut ready = ready?;
                let batch: Vec<_> =
                    std::iter::from_fn(|| ready.get_inner_mut().take()).take(BATCH).collect();
                if batch.len() < BATCH {
                    ready.clear_ready();
                }
                batch
            }
            _ = account.tick() => {
                let now = denied(&teller.maps);
                let packets = now.saturating_sub(denied_before).saturating_sub(told_denied);
                (denied_before, told_denied) = (now, 0);
                if packets > 0 {
                    teller.metrics.policy_untold.inc_by(packets);
                    let line = untold(&teller.node, packets, teller.clock.now());
                    write(&mut teller.audit, &live, &teller.metrics, (&line, teller.clock.now()));
                }
                continue;
            }
        };
        if batch.is_empty() {
            continue;
        }
        // Events carry the clock that does not step; a reader wants the other one.
        let (wall, monotonic) = (teller.clock.now(), monotonic());
        let Ok(described) = teller.policy.describe(batch).await else { return Ok(()) };
        for told in described {
            let age = Duration::from_nanos(monotonic.saturating_sub(told.at));
            let line = line(&teller.node, &told, wall.checked_sub(age).unwrap_or(wall));
            told_denied += u64::from(!told.passed);
            write(&mut teller.audit, &live, &teller.metrics, (&line, wall));
        }
    }
}

fn write(
    audit: &mut Option<Audit>,
    live: &broadcast::Sender<Arc<str>>,
    metrics: &Metrics,
    (line, now): (&Value, SystemTime),
) {
    let text = line.to_string();
    if let Some(audit) = audit
        && let Err(error) = audit.write(&text, now)
    {
        metrics.audit_errors.inc();
        if audit.is_first_failure() {
            tracing::error!(%error, path = %audit.path().display(), "the audit log cannot be written; it is tried with each line");
        }
    }
    // Nobody may be listening.
    let _ = live.send(text.into());
}

/// Packets that were denied so far, for any reason.
fn denied(maps: &KernelMaps) -> u64 {
    maps.denied().unwrap_or_default()
}

fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec.unsigned_abs()) * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
