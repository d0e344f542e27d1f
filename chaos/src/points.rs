//! The names of the crash points of the first profile.
//!
//! The code passes a point by name, so that a schedule can say "the third time". A name once given is kept:
//! stored schedules use it. Cloud points carry the API action, hence the pattern `cloud.<Action>.before`.

/// Points that are not about one cloud action.
pub const FIXED: &[&str] = &[
    "rpc.alloc.recv",
    "rpc.alloc.before-reply",
    "rpc.release.recv",
    "rpc.release.before-reply",
    "intent.before",
    "intent.after",
    "store.commit.before",
    "store.commit.torn",
    "store.commit.after",
    "cr.patch.before",
    "cr.patch.after",
    "plugin.after-rpc",
    "plugin.mid-netlink",
    "plugin.before-stdout",
];

/// The cloud actions that have a point before and after them.
pub const CLOUD_ACTIONS: &[&str] = &[
    "CreateNetworkInterface",
    "AttachNetworkInterface",
    "DetachNetworkInterface",
    "DeleteNetworkInterface",
    "AssignPrivateIpAddresses",
    "UnassignPrivateIpAddresses",
    "AssignIpv6Addresses",
    "UnassignIpv6Addresses",
    "DescribeNetworkInterfaces",
    "DescribeVSwitches",
    "DescribeInstanceTypes",
];

/// Every point, fixed ones first; the order is stable, since draws index into it.
pub fn all() -> Vec<String> {
    let cloud = CLOUD_ACTIONS
        .iter()
        .flat_map(|action| ["before", "after"].map(|side| format!("cloud.{action}.{side}")));
    FIXED.iter().map(|point| (*point).to_owned()).chain(cloud).collect()
}

/// Whether the code may pass a point of that name. Points of kernel operations and policy publishing are open
/// sets (`net.<op>.before`, `policy.publish.step-a`) and are known by their shape.
pub fn is_known(point: &str) -> bool {
    let sided = |rest: &str| matches!(rest.rsplit_once('.'), Some((_, "before" | "after")));
    FIXED.contains(&point)
        || point.strip_prefix("cloud.").is_some_and(sided)
        || point.strip_prefix("net.").is_some_and(sided)
        || point.strip_prefix("policy.publish.step-").is_some_and(|step| step.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_point_is_known() {
        assert!(all().iter().all(|point| is_known(point)));
        assert!(is_known("net.link-add.before"));
        assert!(!is_known("store.comit.before"));
        assert!(!is_known("cloud.before-all"));
    }
}
