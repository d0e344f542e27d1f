//! What every implementation of the port [`Cloud`] must do, as one suite.
//!
//! The suite knows nothing of what it runs against: a [`Rig`] gives it the port, a cloud that is built as
//! [`site`] says, and levers for what no call can bring about. The same cases then hold a fake to what the
//! real one documents, a client to what the fake says, and both to that across a bad network.
//!
//! - [`site`]: what is in the cloud, for rigs to build and cases to rely on.
//! - [`rig`]: the trait, its levers, and [`rig::Persistent`], which repeats what a network swallowed.
//! - [`ground`]: one case's footing: what most cases do in one line.
//! - [`cases`]: one function each, named by what it shows. [`suite!`] makes a test of each.

pub mod cases;
pub mod ground;
pub mod rig;
pub mod site;

use std::{future::Future, pin::Pin, sync::Arc};

pub use self::rig::{Lever, Persistent, Rig};
#[doc(no_inline)]
pub use terway_core::cloud::Cloud;

/// One case; it panics where the cloud does not do as it should.
pub type Case = fn(Arc<dyn Rig>) -> Pin<Box<dyn Future<Output = ()>>>;
