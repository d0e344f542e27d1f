//! The node agent: the address pool, the life of ENIs, the durable store and the allocation
//! service. The same code runs on a node and under the simulator; only the [`Ports`] differ.
//!
//! A map, in reading order:
//!
//! - [`pool`]: the addresses in memory, and [`pool::plan`](fn@pool::plan), which decides what to ask
//!   of the cloud. Pure.
//! - [`store`]: what survives a crash, and the rule by which memory and disk go together.
//! - [`agent`]: starts everything; [`Agent`] is what a daemon or a simulated node holds.
//! - `service`: AllocIP, ReleaseIP, GetIPInfo.
//! - `driver`: runs the planner whenever something changed, serves waiting pods.
//! - `eni`: takes one ENI from its phase to the next — create, attach, watch, detach, delete.
//! - `addresses`: assigns and unassigns addresses on an ENI.
//! - `calls`: paces and retries cloud calls; `describe`: coalesces reads of ENIs.
//! - `nic`: an ENI on the host; `mend`: repairs what drifted, removes what belongs to nobody.
//! - `recovery`: from the store (or from what is left of it) to a running pool.
//! - `reconcile`: compares the pool with the cloud, carefully, because reads lag.
//! - `pods`: the node's pods as the API server shows them; `gc`: frees what belongs to pods that
//!   are gone; `node`: conditions of the node object.
//! - `govern`: pods and their links as the policy engine knows them; [`policy`]: from the API server's policies to the node's maps.

mod addresses;
pub mod agent;
mod calls;
mod describe;
mod driver;
mod eni;
mod gc;
mod govern;
mod mend;
mod nic;
mod node;
mod pods;
pub mod policy;
pub mod pool;
mod reconcile;
mod recovery;
mod service;
mod shared;
mod status;
pub mod store;

pub use self::{
    agent::{Agent, AgentError, PolicyPort, Ports, Settings, Snapshot},
    pods::{EGRESS_ANNOTATION, INGRESS_ANNOTATION, POD_IPS_ANNOTATION},
    status::Status,
};
