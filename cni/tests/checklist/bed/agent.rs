//! An agent that keeps its records in memory and does as it is told, behind the services that ship.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use futures::stream;
use terway_core::{
    address::PodIps,
    cause::Cause,
    host::Bandwidth,
    id::{Mac, PodKey},
    rpc::{NetConf, RpcError},
};
use terway_rpc::{
    interface,
    server::{Backend, Node, Services},
    wire::{
        AllocIpReply, AllocIpRequest, EventReply, EventRequest, GetInfoReply, GetInfoRequest, ReleaseIpReply,
        ReleaseIpRequest,
        node::{CollectReply, CollectRequest, StatusReply, StatusRequest},
    },
};
use tokio::sync::oneshot;
use tonic::{
    body::Body,
    codegen::{Service, http},
};

/// What the agent remembers, and how it is told to behave.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a row switches on")]
pub(crate) struct State {
    /// What is allocated, by sandbox.
    pub(crate) records: BTreeMap<String, Record>,
    /// Sandboxes that a call is under way for.
    processing: BTreeSet<String>,
    /// Every release that was asked for, with its reason.
    pub(crate) releases: Vec<(String, String)>,
    /// Network and pod UID of every allocation.
    pub(crate) allocations: Vec<(String, String)>,
    /// No address is to be had.
    pub(crate) exhausted: bool,
    /// Running pods suffer, too.
    pub(crate) impaired: bool,
    /// Nothing answers.
    pub(crate) deaf: bool,
    /// Allocations take so long.
    pub(crate) slow: Duration,
    /// The agent is the original, which has no `TerwayNode`.
    pub(crate) original: bool,
    /// The MAC of an ENI that the node does not have.
    pub(crate) wrong_eni: bool,
    /// Pods get no IPv6 address.
    pub(crate) only_v4: bool,
    next: u8,
}

impl State {
    /// Whether an allocation for the sandbox is under way.
    pub(crate) fn is_allocating(&self, container: &str) -> bool {
        self.processing.contains(container)
    }

    /// Begins anew, with the first address.
    pub(crate) fn forget(&mut self) {
        self.records.clear();
        self.next = 0;
    }
}

/// An allocation.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Host part of the address.
    pub(crate) host: u8,
    network: String,
    made_at_boot_ms: u64,
}

fn boot_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Answers the calls.
#[derive(Clone, Default)]
pub(crate) struct Agent(Arc<Mutex<State>>);

impl Agent {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interface(&self, host: u8) -> NetConf {
        let mac = Mac([0, 0x16, 0x3e, 0, 0, if self.state().wrong_eni { 9 } else { 1 }]);
        let dual = !self.state().only_v4;
        NetConf {
            ips: PodIps {
                v4: Ipv4Addr::new(10, 0, 3, host),
                v6: dual.then(|| Ipv6Addr::new(0x2408, 0, 0, 0, 0, 0, 0, host.into())),
            },
            cidr: "10.0.3.0/24".parse().expect("valid"),
            gateway: Ipv4Addr::new(10, 0, 3, 253),
            eni: "eni-1".into(),
            mac,
            ifname: "eth0".into(),
            default_route: true,
            gateway6: dual.then(|| Ipv6Addr::new(0x2408, 0, 0, 0, 0, 0, 0, 0xfffd)),
            extra_routes: Vec::new(),
            bandwidth: Bandwidth::default(),
            guard: None,
        }
    }

    async fn behave(&self) {
        if self.state().deaf {
            pending::<()>().await;
        }
    }

    /// One call at a time for a sandbox, as the agent that ships has it.
    fn enter(&self, container: &str, namespace: &str, name: &str) -> Result<Turn, RpcError> {
        if self.state().processing.insert(container.to_owned()) {
            return Ok(Turn(self.clone(), container.to_owned()));
        }
        Err(RpcError::PodIsProcessing(PodKey::new(namespace, name)))
    }
}

/// A call that is under way.
struct Turn(Agent, String);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state().processing.remove(&self.1);
    }
}

#[async_trait]
impl Backend for Agent {
    async fn alloc_ip(&self, request: AllocIpRequest) -> Result<AllocIpReply, RpcError> {
        self.behave().await;
        let _turn = self.enter(&request.container, &request.pod_namespace, &request.pod_name)?;
        let slow = self.state().slow;
        tokio::time::sleep(slow).await;
        if self.state().exhausted {
            return Err(RpcError::NoAddress(Cause::VSwitchExhausted { vswitches: vec!["vsw-1".into()] }));
        }
        let host = {
            let mut state = self.state();
            state.allocations.push((request.network.clone(), request.pod_uid));
            let known = state.records.get(&request.container).map(|record| record.host);
            let host = known.unwrap_or_else(|| {
                state.next += 1;
                state.next
            });
            let record = Record { host, network: request.network, made_at_boot_ms: boot_ms() };
            state.records.insert(request.container, record);
            host
        };
        Ok(interface::alloc_reply(&[self.interface(host)]))
    }

    async fn release_ip(&self, request: ReleaseIpRequest) -> Result<ReleaseIpReply, RpcError> {
        self.behave().await;
        let _turn = self.enter(&request.container, &request.pod_namespace, &request.pod_name)?;
        let mut state = self.state();
        state.records.remove(&request.container);
        state.releases.push((request.container, request.reason));
        Ok(ReleaseIpReply { success: true, ..ReleaseIpReply::default() })
    }

    async fn get_ip_info(&self, request: GetInfoRequest) -> Result<GetInfoReply, RpcError> {
        self.behave().await;
        let _turn = self.enter(&request.container, &request.pod_namespace, &request.pod_name)?;
        let host = self.state().records.get(&request.container).map(|record| record.host);
        let interfaces: Vec<_> = host.map(|host| self.interface(host)).into_iter().collect();
        Ok(interface::info_reply(&interfaces))
    }

    async fn record_event(&self, _: EventRequest) -> Result<EventReply, RpcError> {
        Ok(EventReply { succeed: true, error: String::new() })
    }
}

#[async_trait]
impl Node for Agent {
    async fn status(&self, _: StatusRequest) -> Result<StatusReply, RpcError> {
        self.behave().await;
        if self.state().impaired {
            let message = "the eni of 3 pods has left the node".into();
            return Ok(StatusReply { code: 51, message, details: "eni-1".into() });
        }
        if !self.state().exhausted {
            return Ok(StatusReply::default());
        }
        Ok(StatusReply {
            code: 50,
            message: "no address left in vSwitch vsw-1".into(),
            details: "0 idle".into(),
        })
    }

    async fn collect(&self, request: CollectRequest) -> Result<CollectReply, RpcError> {
        let mut state = self.state();
        let before = state.records.len();
        state.records.retain(|container, record| {
            record.network != request.network
                || record.made_at_boot_ms >= request.started_at_boot_ms
                || request.valid.iter().any(|valid| valid.container == *container)
        });
        let freed = (before - state.records.len()) as u32;
        let errors =
            if state.exhausted { vec!["eni-1: busy".into(), "eni-2: busy".into()] } else { Vec::new() };
        Ok(CollectReply { freed, errors })
    }
}

/// The services, without those that an original agent does not have.
#[derive(Clone)]
struct Front(Agent, Services<Agent>);

impl Service<http::Request<Body>> for Front {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <Services<Agent> as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.1.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if self.0.state().original && request.uri().path().starts_with("/rpc.TerwayNode/") {
            *request.uri_mut() = http::Uri::from_static("http://localhost/rpc.TerwayNode/Unheard");
        }
        self.1.call(request)
    }
}

/// An agent that listens, on a thread of its own.
pub(crate) struct Running {
    pub(crate) agent: Agent,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    #[expect(
        clippy::disallowed_methods,
        reason = "the agent is another process in life; nothing is simulated"
    )]
    pub(crate) fn start(socket: &Path) -> Self {
        let _ = std::fs::remove_file(socket);
        let agent = Agent::default();
        let listener = std::os::unix::net::UnixListener::bind(socket).expect("bound");
        listener.set_nonblocking(true).expect("set");
        let (stop, stopped) = oneshot::channel::<()>();
        let services = Front(agent.clone(), Services::new(Arc::new(agent.clone())));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("built");
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
                let incoming = stream::unfold(listener, |listener| async {
                    let accepted = listener.accept().await.map(|(stream, _)| stream);
                    Some((accepted, listener))
                });
                let server = tonic::transport::Server::builder().serve_with_incoming(services, incoming);
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    ended = server => panic!("the agent ended: {ended:?}"),
                }
            });
        });
        Self { agent, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.agent.state()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
