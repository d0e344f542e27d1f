//! The table of semantics, one test a row, for everyone who judges. A row is written as people write policy: manifests,
//! and flows with what becomes of them.
//!
//! Rows that are not judgements of policy alone are tested where their matter is:
//! - state of flows: 37, 38, 40, 65 to 68
//! - what is always allowed, or never: own node 41, 41b, 41c, own address 42, forged sources 63, 64
//! - that services are judged behind their translation: 45, of which the judgement itself is here
//! - packets: fragments 60, options and extension headers 61, truncated ones 62
//! - the node and its agent: interfaces 59, agent down 69, maps full 70
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
