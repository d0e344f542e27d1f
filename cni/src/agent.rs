//! Calls to the agent on its unix socket, each with a deadline.
//!
//! The plugin is synchronous; a runtime of one thread lives for the length of the process.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use prost::Message;
use terway_rpc::{
    client::{self, CallError},
    refusal::Word,
};
use tokio::{
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

mod outbox;

use outbox::{Meanwhile, Outbox};

/// What can become of a call.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody listens.
    #[error("the agent cannot be reached at {}: {source}; is terway-daemon running on this node?", .socket.display())]
    Unreachable {
        /// Where it was looked for.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("the agent did not answer {path} within {} ms", .deadline.as_millis())]
    Deadline {
        /// Method.
        path: &'static str,
        /// Time that was given.
        deadline: Duration,
    },
    /// It answered badly, or refused.
    #[error("{source}")]
    Call {
        /// How.
        #[source]
        source: CallError,
    },
    /// Not even asked.
    #[error("cannot start the I/O of this plugin: {0}")]
    Runtime(#[source] io::Error),
}

impl AgentError {
    /// Whether the agent may not have taken the request: nothing that it said tells that it did.
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Deadline { .. } => true,
            Self::Call { source } => {
                use CallError::{Connection, Cut, Http, Unanswered};
                matches!(source, Connection(_) | Cut { .. } | Http { .. } | Unanswered { .. })
            }
            Self::Runtime(_) => false,
        }
    }

    /// Whether another call for this pod is under way.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Call { source: CallError::Refused(refusal) } if refusal.word == Some(Word::PodIsProcessing)
        )
    }

    /// Whether the agent does not know the method.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Call { source: CallError::Unimplemented { .. } })
    }
}

/// How long to wait before asking again for a pod that is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The agent behind a socket.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Agent {
    /// The agent behind this socket; nothing is connected yet.
    pub fn new(socket: &Path) -> Result<Self, AgentError> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().build().map_err(AgentError::Runtime)?;
        Ok(Self { socket: socket.to_owned(), runtime })
    }

    /// Waits.
    pub fn pause(&self, duration: Duration) {
        self.runtime.block_on(async { sleep(duration).await });
    }

    /// Makes one call.
    pub fn call<Q: Message, A: Message + Default>(
        &self,
        path: &'static str,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, AgentError> {
        self.runtime.block_on(self.exchange(path, request, deadline, None))
    }

    /// Makes one call, and does something else while the agent has it. That is done in any case, but for an agent that
    /// cannot be reached or answers at once.
    pub fn call_meanwhile<Q: Message, A: Message + Default>(
        &self,
        path: &'static str,
        request: &Q,
        deadline: Duration,
        meanwhile: impl FnOnce(),
    ) -> Result<A, AgentError> {
        self.runtime.block_on(self.exchange(path, request, deadline, Some(Box::new(meanwhile))))
    }

    /// Makes one call, again and again while the pod is busy with another one, until the deadline.
    pub fn call_in_turn<Q: Message, A: Message + Default>(
        &self,
        path: &'static str,
        request: &Q,
        deadline: Duration,
    ) -> Result<A, AgentError> {
        self.runtime.block_on(async {
            let until = Instant::now() + deadline;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                match self.exchange(path, request, left, None).await {
                    Err(error) if error.is_busy() && left > BUSY_PAUSE => sleep(BUSY_PAUSE).await,
                    outcome => return outcome,
                }
            }
        })
    }

    async fn exchange<Q: Message, A: Message + Default>(
        &self,
        path: &'static str,
        request: &Q,
        deadline: Duration,
        meanwhile: Meanwhile<'_>,
    ) -> Result<A, AgentError> {
        let exchange = async {
            let unreachable = |source| AgentError::Unreachable { socket: self.socket.clone(), source };
            let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
            let stream = Outbox::new(stream, meanwhile);
            client::call(stream, path, request, deadline).await.map_err(|source| AgentError::Call { source })
        };
        timeout(deadline, exchange).await.map_err(|_| AgentError::Deadline { path, deadline })?
    }
}
