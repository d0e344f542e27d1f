//! The real cloud: Alibaba's ECS and VPC OpenAPI, and instance metadata, behind the ports of
//! `terway-core`.
//!
//! A map, from the wire upwards:
//!
//! - [`http`]: one exchange of whole bodies; over TCP with TLS, or over any connector.
//! - [`gzip`]: replies unpacked, within a bound.
//! - [`endpoints`]: which host serves a product in a region, and what overrides it.
//! - [`sign`]: signature V3, pure.
//! - [`request`]: typed requests to parameters, pure; [`reply`]: bytes to typed results, pure, with what
//!   it forgives in [`lenient`].
//! - [`credentials`]: where access keys come from, in order; [`role`]: those of the instance's RAM role.
//! - [`client`]: [`client::Client`], the port `Cloud`: one method, one request.
//! - [`system`]: the machine's clocks, randomness and tasks, for who composes a program.
//! - [`connect`]: from options, environment and metadata to a client.
//! - [`budget`]: [`budget::Budgeted`], the same port within rates that adapt to throttling.
//! - [`metadata`]: [`metadata::MetadataClient`], the port `Metadata`.
//!
//! Start at [`client`]. Nothing here reads the environment, the clock or randomness but through what it
//! is given; tasks (a connection each) go through the port `Spawner`.

pub mod budget;
pub mod client;
pub mod connect;
pub mod credentials;
pub mod endpoints;
pub mod gzip;
pub mod http;
pub mod lenient;
pub mod metadata;
pub mod reply;
pub mod request;
pub mod role;
pub mod secret;
pub mod sign;
pub mod system;

#[cfg(test)]
mod testing;
