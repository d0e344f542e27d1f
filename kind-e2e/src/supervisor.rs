//! The process behind a cluster that was started by hand: it owns the cluster and does what it is asked over a socket.

use std::{io, sync::Arc};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tracing::{info, warn};

use crate::{
    cluster::{Cluster, ClusterError},
    control::{AgentAct, End, Reply, Request},
    target::Target,
    task::Tasks,
};

/// Longest request: a pod with all that can be asked for is a hundredth of it.
const LONGEST: u64 = 64 << 10;

/// Serves until `stop` is done or somebody asks for the end; then ends the cluster.
pub async fn supervise(cluster: Cluster, stop: impl Future<Output = ()>) -> Result<(), ClusterError> {
    let path = cluster.names.control_socket();
    let listener = UnixListener::bind(&path).map_err(|source| ClusterError::Folder { path, source });
    let cluster = Arc::new(cluster);
    let (down, mut asked) = mpsc::channel(1);
    let mut conversations = Tasks::default();
    let served = async {
        let listener = listener?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => conversations.spawn(converse(Arc::clone(&cluster), stream, down.clone())),
                Err(error) => warn!(%error, "cannot take a connection"),
            }
        }
    };
    let served: Result<(), ClusterError> = tokio::select! {
        biased;
        () = stop => Ok(()),
        _ = asked.recv() => Ok(()),
        failed = served => failed,
    };
    info!("the cluster ends");
    conversations.end().await;
    let cluster = Arc::into_inner(cluster).expect("conversations were the only others to have it");
    cluster.down().await?;
    served
}

async fn converse(cluster: Arc<Cluster>, stream: UnixStream, down: mpsc::Sender<()>) {
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    let read = BufReader::new(from.take(LONGEST)).read_line(&mut line).await;
    let request = read.and_then(|_| serde_json::from_str::<Request>(&line).map_err(io::Error::other));
    let (reply, end) = match request {
        Ok(request) => {
            let end = request == Request::Down;
            let done = perform(&cluster, request).await;
            (done.map_or_else(|error| Reply::Failed(chain(&error)), Reply::Done), end)
        }
        Err(error) => (Reply::Failed(format!("not a request: {error}")), false),
    };
    let text = serde_json::to_string(&reply).expect("texts are the only keys");
    // Whoever asked may have gone.
    let _gone = to.write_all(format!("{text}\n").as_bytes()).await;
    if end {
        // A second one who asks is as good as the first.
        let _asked = down.try_send(());
    }
}

async fn perform(cluster: &Cluster, request: Request) -> Result<Value, ClusterError> {
    let told = |value: serde_json::Result<Value>| value.expect("what is told has texts as keys");
    Ok(match request {
        Request::Status => told(serde_json::to_value(cluster.status().await?)),
        Request::RunPod(spec) => told(serde_json::to_value(cluster.run_pod(&spec).await?)),
        Request::DeletePod(pod) => {
            cluster.delete_pod(&pod).await?;
            json!({})
        }
        Request::CheckPod(pod) => {
            cluster.call(&pod, "CHECK").await?;
            json!({})
        }
        Request::Apply(object) => {
            cluster.apply(&object)?;
            json!({})
        }
        Request::RemovePolicy(name) => {
            cluster.remove_policy(&name.namespace, &name.name)?;
            json!({})
        }
        Request::Find(target) => {
            let netns = cluster.netns(&target)?.map(|netns| netns.name().to_owned());
            let node = if let Target::Node(number) = target { Some(cluster.node(number)?) } else { None };
            let environment = node.map(|node| node.environment().to_vec()).unwrap_or_default();
            let environment = environment.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            told(serde_json::to_value(End { netns, ips: cluster.ips(&target)?, environment }))
        }
        Request::Agent { node, act } => {
            match act {
                AgentAct::Start => {
                    cluster.start_daemon(node)?;
                    cluster.ready(node).await?;
                }
                AgentAct::Stop => cluster.stop_daemon(node).await?,
                AgentAct::Kill => cluster.kill_daemon(node).await?,
                AgentAct::Restart => cluster.restart_daemon(node).await?,
            }
            json!({})
        }
        Request::Down => json!({}),
    })
}

/// An error with its causes, on one line; those that say it themselves already are left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
