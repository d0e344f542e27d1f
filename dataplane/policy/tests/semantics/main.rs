//! The table of semantics, one test a row, for everyone who judges. A row is written as people write policy: manifests,
//! and flows with what becomes of them.
//!
//! Rows that are not judgements of policy alone are tests of `packets`: flows, the own node, services behind their
//! translation, what packets look like. Of those about the node and its agent (59, 69, 70) only what an endpoint does is
//! there; the rest is tested with the agent.
//!
//! Of rows 47 to 57, which are about change, the judgement after the change is here; that nothing stale is left, and what
//! becomes of established flows (51), is tested with the compiler and the flow table.

mod change;
mod cluster;
mod evaluator;
mod labels;
mod network;
mod peers;
mod ports;
