//! The endpoint as a client meets it: over loopback TCP, over a simulated network, and as a program.

mod actions;
mod auth;
mod client;
mod control;
mod lost;
mod metadata;
mod program;
mod wire;
