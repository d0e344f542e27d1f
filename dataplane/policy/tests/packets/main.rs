//! The rows of the table of semantics that are about packets, flows and the node: what becomes of a packet on its way
//! from hook to hook, and why. One test a row, named after it; the rows that are judgements of policy alone are in
//! `semantics`.
//!
//! - `bed`: two nodes with their pods, and the ways of packets
//! - `flows`: answers, errors, and what a flow remembers (37 to 40, 64 to 68)
//! - `node`: the pod's own node, and itself (41 to 44, 73)
//! - `services`: judged behind their translation (45, and 42 by a service)
//! - `shapes`: families, fragments, options, extension headers, forged sources (58 to 63), the link's own business
//! - `change`: policies that change under flows, endpoints that are locked or not there (51, 53, 69)

mod bed;
mod change;
mod flows;
mod node;
mod services;
mod shapes;
