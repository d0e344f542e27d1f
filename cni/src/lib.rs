//! The CNI plugin `terway`: CNI 0.3.0 to 1.1.0, all six verbs.
//!
//! One process per verb, gone in milliseconds: it may be killed anywhere, so nothing is kept but what the
//! agent has recorded or what a rename made whole. A map, in reading order:
//!
//! - [`env`](mod@env): the environment of a call, checked.
//! - [`config`]: stdin, checked; every refusal names key and value.
//! - [`result`]: one internal shape of a result, converted where it is read and where it is printed.
//! - [`error`]: the error object and its codes.
//! - [`agent`]: calls to the agent, each with a deadline.
//! - [`lock`]: one verb at a time on a sandbox.
//! - [`verb`]: what each verb does.
//! - [`run`](mod@run): from environment and stdin to stdout and exit code.

pub mod agent;
pub mod config;
pub mod env;
pub mod error;
pub mod lock;
pub mod result;
pub mod run;
pub mod verb;
