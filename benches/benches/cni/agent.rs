//! The agent's side: the services that ship, over records in memory, in a process of their own as in life.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::stream;
use terway_core::{
    address::PodIps,
    host::Bandwidth,
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
use tokio::net::{UnixListener, UnixStream};

use crate::node::ENI;

/// Pods of this namespace get IPv6 as well.
pub(crate) const DUAL: &str = "dual";

/// Addresses by sandbox. The lowest free one is given, as a pool would.
#[derive(Default)]
struct Records(Mutex<BTreeMap<String, (u16, bool)>>);

impl Records {
    fn of(&self, container: &str) -> Vec<NetConf> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(container).map(|(host, dual)| interface(*host, *dual)).into_iter().collect()
    }
}

fn interface(host: u16, dual: bool) -> NetConf {
    let [high, low] = host.to_be_bytes();
    let v6 = dual.then(|| Ipv6Addr::new(0x2408, 0, 0, 0, 0, 0, 0, host));
    NetConf {
        ips: PodIps { v4: Ipv4Addr::new(10, 3, high, low), v6 },
        cidr: "10.3.0.0/16".parse().expect("valid"),
        gateway: Ipv4Addr::new(10, 3, 255, 253),
        eni: "eni-1".into(),
        mac: ENI,
        ifname: "eth0".into(),
        default_route: true,
        gateway6: dual.then(|| Ipv6Addr::new(0x2408, 0, 0, 0, 0, 0, 0, 0xfffd)),
        extra_routes: Vec::new(),
        bandwidth: Bandwidth::default(),
        guard: None,
    }
}

#[async_trait]
impl Backend for Records {
    async fn alloc_ip(&self, request: AllocIpRequest) -> Result<AllocIpReply, RpcError> {
        {
            let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = |host: &u16| records.values().any(|(other, _)| other == host);
            let host = (1..u16::MAX).find(|host| !taken(host)).expect("fewer pods than addresses");
            records.entry(request.container.clone()).or_insert((host, request.pod_namespace == DUAL));
        }
        Ok(interface::alloc_reply(&self.of(&request.container)))
    }

    async fn release_ip(&self, request: ReleaseIpRequest) -> Result<ReleaseIpReply, RpcError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&request.container);
        Ok(ReleaseIpReply { success: true, ..ReleaseIpReply::default() })
    }

    async fn get_ip_info(&self, request: GetInfoRequest) -> Result<GetInfoReply, RpcError> {
        Ok(interface::info_reply(&self.of(&request.container)))
    }

    async fn record_event(&self, _: EventRequest) -> Result<EventReply, RpcError> {
        Ok(EventReply { succeed: true, error: String::new() })
    }
}

#[async_trait]
impl Node for Records {
    async fn status(&self, _: StatusRequest) -> Result<StatusReply, RpcError> {
        Ok(StatusReply::default())
    }

    async fn collect(&self, _: CollectRequest) -> Result<CollectReply, RpcError> {
        Ok(CollectReply { freed: 0, errors: Vec::new() })
    }
}

/// What the process does that [`Running`] starts: serves, until it is killed.
pub(crate) fn serve(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).expect("bound");
        let incoming = stream::unfold(listener, |listener| async {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let services = Services::new(Arc::new(Records::default()));
        let served = tonic::transport::Server::builder().serve_with_incoming(services, incoming).await;
        served.expect("it serves until it is killed");
    });
}

/// The agent's process, which does not outlive this one.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(socket: &Path) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg("--agent")
            .arg(socket)
            .spawn()
            .expect("util-linux is there");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            while UnixStream::connect(socket).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
