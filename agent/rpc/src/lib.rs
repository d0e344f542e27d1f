//! The wire between the plugin and the agent, both sides of it.
//!
//! The service is the original's `rpc.TerwayBackend`, message for message, so that its plugin can
//! speak to our agent and ours to its. What we add is numbered from 100, which an original peer skips.
//! A map, in reading order:
//!
//! - [`wire`]: the messages; [`wire::node`]: those of `rpc.TerwayNode`, a service of ours.
//! - [`interface`]: what an answer says of one interface, checked once, in domain types.
//! - [`refusal`]: error texts and their code words, and the causes behind them.
//! - [`spool`]: releases that the agent was not there to take, kept on disk until it is.
//! - `client` (feature `client`): one call over one stream, without a task of its own.
//! - `server` (feature `server`): the services as tonic serves them.

pub mod interface;
pub mod refusal;
pub mod spool;
pub mod wire;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod server;
