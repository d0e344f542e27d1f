//! One write to one map: what a change of policy is published by.

use crate::layout::{
    Addr, Best, CidrKey, ClassKey, ClassValue, Control, CrossKey, Endpoint, Page, PeerKey, RuleSet,
};

/// A write; without a value, a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// `terway_ctl`.
    Control(Control),
    /// `terway_ep`.
    Endpoint(u32, Option<Endpoint>),
    /// `terway_ep_ip`.
    EndpointIp(Addr, Option<u32>),
    /// `terway_host`.
    Host(Addr, Option<u32>),
    /// `terway_svc`; the key's view is 0 and counts for nothing but its 32 bits.
    Service(CidrKey, Option<u32>),
    /// `terway_peer`.
    Peer(PeerKey, Option<u32>),
    /// `terway_cidr`.
    Cidr(CidrKey, Option<u32>),
    /// `terway_rs`.
    Rules(u32, Option<RuleSet>),
    /// `terway_page`.
    Page(u32, Option<Box<Page>>),
    /// `terway_rs_peer`.
    Class(ClassKey, Option<ClassValue>),
    /// `terway_policy_map`.
    Cross(CrossKey, Option<Best>),
}
