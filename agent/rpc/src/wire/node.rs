//! Messages of `rpc.TerwayNode`: what CNI 1.1 asks of an agent and the original's service has no call
//! for. An original agent answers `Unimplemented`.

use prost::Message;

/// Path of `Status`.
pub const STATUS: &str = "/rpc.TerwayNode/Status";
/// Path of `Collect`.
pub const COLLECT: &str = "/rpc.TerwayNode/Collect";

/// `StatusRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatusRequest {
    /// Name of the CNI network.
    #[prost(string, tag = "1")]
    pub network: String,
}

/// `StatusReply`: from the agent's memory, without a call to the cloud.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatusReply {
    /// 0 when an ADD can be served now; 50 when not; 51 when running pods suffer as well.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// What is wrong and what to do.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More of it, for people.
    #[prost(string, tag = "3")]
    pub details: String,
}

/// One attachment that the runtime still knows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct Attachment {
    /// Sandbox.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Interface.
    #[prost(string, tag = "2")]
    pub ifname: String,
}

/// `CollectRequest`: free what belongs to `network` and is not listed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CollectRequest {
    /// Name of the CNI network; nothing of another one is touched.
    #[prost(string, tag = "1")]
    pub network: String,
    /// What stays.
    #[prost(message, repeated, tag = "2")]
    pub valid: Vec<Attachment>,
    /// `CLOCK_BOOTTIME` in milliseconds when the plugin started: an allocation that is younger stays, for
    /// the list cannot know it. Boot time, as the wall clock may step between the two.
    #[prost(uint64, tag = "3")]
    pub started_at_boot_ms: u64,
}

/// `CollectReply`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CollectReply {
    /// How many allocations were let go.
    #[prost(uint32, tag = "1")]
    pub freed: u32,
    /// One text for each that could not be; the others were nevertheless.
    #[prost(string, repeated, tag = "2")]
    pub errors: Vec<String>,
}
