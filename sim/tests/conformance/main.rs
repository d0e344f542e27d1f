//! The conformance suite of the port `Cloud`, three ways: the fake cloud itself, the real client over
//! loopback HTTP against the endpoint, and the real client across a simulated network that misbehaves.
//! (The fourth, the vendor's SDK against the endpoint, is in `sim/tests/sdk`.)

mod client;
mod direct;
mod loopback;
mod rig;
mod wire;
