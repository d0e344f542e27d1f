//! The dataplane on the real kernel. As root, in namespaces that the tests make: never in the machine's own.

mod agent;
mod lifecycle;
mod port;
mod tamper;
mod traffic;
mod undo;
mod world;
