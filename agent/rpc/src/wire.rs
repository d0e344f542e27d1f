//! Messages of `rpc.TerwayBackend`, proto3, as the original numbers them.
//!
//! Derived by hand, so that no `protoc` is needed to build. A number must never change: the plugin and
//! the agent of one node are not replaced in one instant, and either may be the original's.

use prost::{Enumeration, Message};

pub mod node;

/// Path of `AllocIP`.
pub const ALLOC_IP: &str = "/rpc.TerwayBackend/AllocIP";
/// Path of `ReleaseIP`.
pub const RELEASE_IP: &str = "/rpc.TerwayBackend/ReleaseIP";
/// Path of `GetIPInfo`.
pub const GET_IP_INFO: &str = "/rpc.TerwayBackend/GetIPInfo";
/// Path of `RecordEvent`.
pub const RECORD_EVENT: &str = "/rpc.TerwayBackend/RecordEvent";

/// An address, block or gateway of each family; empty where there is none.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IpSet {
    /// `IPv4`.
    #[prost(string, tag = "1")]
    pub ipv4: String,
    /// `IPv6`.
    #[prost(string, tag = "2")]
    pub ipv6: String,
}

/// How a pod is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum IpType {
    /// `TypeVPCIP`: routes in the VPC's table.
    VpcIp = 0,
    /// `TypeVPCENI`: an ENI of its own.
    VpcEni = 1,
    /// `TypeENIMultiIP`: an address of a shared ENI.
    EniMultiIp = 2,
}

/// `AllocIPRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocIpRequest {
    /// `K8sPodName`.
    #[prost(string, tag = "1")]
    pub pod_name: String,
    /// `K8sPodNamespace`.
    #[prost(string, tag = "2")]
    pub pod_namespace: String,
    /// `K8sPodInfraContainerId`.
    #[prost(string, tag = "3")]
    pub container: String,
    /// `Netns`: path of the namespace.
    #[prost(string, tag = "4")]
    pub netns: String,
    /// `IfName`.
    #[prost(string, tag = "5")]
    pub ifname: String,
    /// Ours: `K8S_POD_UID`, which tells a pod from a later one of its name.
    #[prost(string, tag = "100")]
    pub pod_uid: String,
    /// Ours: name of the CNI network, by which garbage collection keeps to its own.
    #[prost(string, tag = "101")]
    pub network: String,
}

/// `AllocIPReply`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocIpReply {
    /// `Success`.
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// `IPType`.
    #[prost(enumeration = "IpType", tag = "2")]
    pub ip_type: i32,
    /// `IPv4`: whether the pod has an IPv4 address.
    #[prost(bool, tag = "3")]
    pub ipv4: bool,
    /// `IPv6`: whether the pod has an IPv6 address.
    #[prost(bool, tag = "4")]
    pub ipv6: bool,
    /// `NetConfs`: one per interface.
    #[prost(message, repeated, tag = "5")]
    pub net_confs: Vec<NetConf>,
}

/// `NetConf`: one interface.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct NetConf {
    /// `BasicInfo`.
    #[prost(message, optional, tag = "1")]
    pub basic: Option<BasicInfo>,
    /// `ENIInfo`.
    #[prost(message, optional, tag = "2")]
    pub eni: Option<EniInfo>,
    /// `Pod`.
    #[prost(message, optional, tag = "3")]
    pub pod: Option<Pod>,
    /// `IfName`; empty means `eth0`.
    #[prost(string, tag = "4")]
    pub ifname: String,
    /// `ExtraRoutes`.
    #[prost(message, repeated, tag = "5")]
    pub extra_routes: Vec<Route>,
    /// `DefaultRoute`.
    #[prost(bool, tag = "6")]
    pub default_route: bool,
    /// Ours: where policy is enforced, the index that the host link is made with; 0 is none.
    #[prost(uint32, tag = "100")]
    pub link: u32,
    /// Ours: folder in which the programs are pinned that are to be on it.
    #[prost(string, tag = "101")]
    pub pins: String,
}

/// `BasicInfo`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BasicInfo {
    /// `PodIP`.
    #[prost(message, optional, tag = "1")]
    pub pod_ip: Option<IpSet>,
    /// `PodCIDR`: block of the vSwitch.
    #[prost(message, optional, tag = "2")]
    pub pod_cidr: Option<IpSet>,
    /// `GatewayIP`: VPC gateway of that block.
    #[prost(message, optional, tag = "3")]
    pub gateway: Option<IpSet>,
    /// `ServiceCIDR`.
    #[prost(message, optional, tag = "4")]
    pub service_cidr: Option<IpSet>,
}

/// `ENIInfo`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EniInfo {
    /// `MAC`.
    #[prost(string, tag = "1")]
    pub mac: String,
    /// `Trunk`.
    #[prost(bool, tag = "2")]
    pub trunk: bool,
    /// `Vid`.
    #[prost(uint32, tag = "3")]
    pub vid: u32,
    /// `GatewayIP`.
    #[prost(message, optional, tag = "4")]
    pub gateway: Option<IpSet>,
    /// `eRDMA`.
    #[prost(bool, tag = "5")]
    pub erdma: bool,
    /// `VfId`.
    #[prost(uint32, optional, tag = "6")]
    pub vf_id: Option<u32>,
    /// Ours: id of the ENI, for people who read a result.
    #[prost(string, tag = "100")]
    pub id: String,
}

/// `Route`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Route {
    /// `Dst`, a block.
    #[prost(string, tag = "1")]
    pub dst: String,
}

/// `Pod`: limits in bytes per second; 0 is none.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Pod {
    /// `Ingress`.
    #[prost(uint64, tag = "1")]
    pub ingress: u64,
    /// `Egress`.
    #[prost(uint64, tag = "2")]
    pub egress: u64,
    /// `NetworkPriority`.
    #[prost(string, tag = "3")]
    pub priority: String,
}

/// `ReleaseIPRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReleaseIpRequest {
    /// `K8sPodName`.
    #[prost(string, tag = "1")]
    pub pod_name: String,
    /// `K8sPodNamespace`.
    #[prost(string, tag = "2")]
    pub pod_namespace: String,
    /// `K8sPodInfraContainerId`.
    #[prost(string, tag = "3")]
    pub container: String,
    /// `IPType`.
    #[prost(enumeration = "IpType", tag = "4")]
    pub ip_type: i32,
    /// `IPv4Addr`.
    #[prost(message, optional, tag = "5")]
    pub address: Option<IpSet>,
    /// `MacAddr`.
    #[prost(string, tag = "6")]
    pub mac: String,
    /// `Reason`.
    #[prost(string, tag = "7")]
    pub reason: String,
    /// Ours: `K8S_POD_UID`.
    #[prost(string, tag = "100")]
    pub pod_uid: String,
    /// Ours: name of the CNI network.
    #[prost(string, tag = "101")]
    pub network: String,
    /// Ours: interface; empty means all of the sandbox.
    #[prost(string, tag = "102")]
    pub ifname: String,
}

/// `ReleaseIPReply`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReleaseIpReply {
    /// `Success`.
    #[prost(bool, tag = "1")]
    pub success: bool,
    /// `IPv4Addr`.
    #[prost(message, optional, tag = "2")]
    pub address: Option<IpSet>,
    /// `DeviceNumber`.
    #[prost(int32, tag = "3")]
    pub device_number: i32,
    /// `IPv4`.
    #[prost(bool, tag = "4")]
    pub ipv4: bool,
    /// `IPv6`.
    #[prost(bool, tag = "5")]
    pub ipv6: bool,
}

/// `GetInfoRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetInfoRequest {
    /// `K8sPodName`.
    #[prost(string, tag = "1")]
    pub pod_name: String,
    /// `K8sPodNamespace`.
    #[prost(string, tag = "2")]
    pub pod_namespace: String,
    /// `K8sPodInfraContainerId`.
    #[prost(string, tag = "3")]
    pub container: String,
}

/// Why `GetIPInfo` knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum InfoError {
    /// `ErrNoErr`.
    None = 0,
    /// `ErrCRDNotFound`.
    CrdNotFound = 1,
}

/// `GetInfoReply`. Number 6 is unused in the original.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetInfoReply {
    /// `IPType`.
    #[prost(enumeration = "IpType", tag = "1")]
    pub ip_type: i32,
    /// `Success`.
    #[prost(bool, tag = "2")]
    pub success: bool,
    /// `IPv4`.
    #[prost(bool, tag = "3")]
    pub ipv4: bool,
    /// `IPv6`.
    #[prost(bool, tag = "4")]
    pub ipv6: bool,
    /// `NetConfs`: empty without a record, or with a record of another sandbox.
    #[prost(message, repeated, tag = "5")]
    pub net_confs: Vec<NetConf>,
    /// `Error`.
    #[prost(enumeration = "InfoError", tag = "7")]
    pub error: i32,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum EventTarget {
    /// `EventTargetNode`.
    Node = 0,
    /// `EventTargetPod`.
    Pod = 1,
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// `EventTypeNormal`.
    Normal = 0,
    /// `EventTypeWarning`.
    Warning = 1,
}

/// `EventRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EventRequest {
    /// `EventTarget`.
    #[prost(enumeration = "EventTarget", tag = "1")]
    pub target: i32,
    /// `K8sPodName`.
    #[prost(string, tag = "2")]
    pub pod_name: String,
    /// `K8sPodNamespace`.
    #[prost(string, tag = "3")]
    pub pod_namespace: String,
    /// `EventType`.
    #[prost(enumeration = "EventType", tag = "4")]
    pub event_type: i32,
    /// `Reason`.
    #[prost(string, tag = "5")]
    pub reason: String,
    /// `Message`.
    #[prost(string, tag = "6")]
    pub message: String,
}

/// `EventReply`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EventReply {
    /// `Succeed`.
    #[prost(bool, tag = "1")]
    pub succeed: bool,
    /// `Error`.
    #[prost(string, tag = "2")]
    pub error: String,
}
