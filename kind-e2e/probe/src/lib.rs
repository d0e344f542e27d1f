//! Traffic for tests, sent from the calling thread's network namespace.
//!
//! - [`icmp`]: echo requests of any size, without a program for it;
//! - [`echo`]: a server that sends back what it gets, over TCP and UDP, and clients that compare;
//! - [`sctp`]: the first two packets of an association, over raw sockets.
//!
//! Everything has a patience: nothing waits for what never comes.

pub mod echo;
pub mod icmp;
pub mod sctp;
