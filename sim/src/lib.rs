//! Deterministic simulator of thousand-node clusters that run the shipping agent.
//!
//! The agent, its store, its kube client are the shipped code; everything they touch is here. A map:
//!
//! - [`scenario`]: what is run, as data; [`run`](mod@run): one run, from seed to figures.
//! - [`world`]: the cluster; [`node`]: a machine and its agent; [`kubelet`]: the agent's callers;
//!   [`workload`]: pods that come and go; [`inject`]: faults that strike.
//! - fakes: [`cloud`], [`apiserver`], [`host`] (kernel), [`disk`], [`ports`] (clocks, entropy, probe);
//!   [`scope`] holds the tasks of one life of an agent, [`root`] those of the world.
//! - [`endpoint`]: the fake cloud over HTTP, for real clients.
//! - [`oracle`]: what must hold, judged from outside; [`trace`]: the hash that two runs must share.
//! - [`figures`] and [`report`]: what a run yields, as JSON, text and a page.

pub mod apiserver;
pub mod cloud;
pub mod disk;
pub mod endpoint;
pub mod figures;
pub mod host;
pub mod inject;
pub mod kernel;
pub mod kubelet;
pub mod node;
pub mod oracle;
pub mod policy;
pub mod ports;
pub mod profile;
pub mod report;
pub mod root;
pub mod run;
pub mod scenario;
pub mod scope;
pub mod time;
pub mod trace;
pub mod wire;
pub mod workload;
pub mod world;
