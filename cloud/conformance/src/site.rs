//! What is in the cloud before a case begins.
//!
//! One VPC with two zones. `i-1` and `i-2` are nodes of the first, `i-b` of the second. Everything that a case
//! changes is its own, since each gets a cloud of its own.

use ipnet::{Ipv4Net, Ipv6Net};

/// Region of everything.
pub const REGION: &str = "cn-test";
/// The VPC.
pub const VPC: &str = "vpc-test";
/// First zone.
pub const ZONE: &str = "cn-test-a";
/// Second zone.
pub const OTHER_ZONE: &str = "cn-test-b";
/// vSwitch of the first zone: a /22 with IPv6.
pub const VSWITCH: &str = "vsw-a";
/// vSwitch of the first zone with eleven addresses to give: a /28.
pub const SMALL_VSWITCH: &str = "vsw-small";
/// vSwitch of the second zone: a /24, without IPv6.
pub const OTHER_VSWITCH: &str = "vsw-b";
/// The only security group.
pub const GROUP: &str = "sg-pods";
/// The VPC's own route table.
pub const TABLE: &str = "vtb-system";
/// Instances of the first zone, both of [`TYPE`].
pub const NODE: &str = "i-1";
/// See [`NODE`].
pub const OTHER_NODE: &str = "i-2";
/// Instance of the second zone, of [`TYPE`].
pub const FAR_NODE: &str = "i-b";
/// Type of the instances: 4 ENIs (the primary included) of 15 IPv4 and 15 IPv6 addresses.
pub const TYPE: &str = "ecs.g7.xlarge";
/// vSwitches beyond those above, of one address block each: enough for a second page.
pub const MORE_VSWITCHES: usize = 60;
/// Secondary ENIs that the account may have: more than one page of a listing.
pub const ENI_QUOTA: u32 = 120;

/// What a rig can put into its cloud.
pub trait Builder {
    /// A route table; called before everything else.
    fn route_table(&mut self, id: &str);
    /// A security group.
    fn security_group(&mut self, id: &str, name: &str);
    /// A vSwitch.
    fn vswitch(&mut self, id: &str, zone: &str, cidr: Ipv4Net, ipv6: Option<Ipv6Net>);
    /// A running instance whose primary NIC is in this vSwitch.
    fn instance(&mut self, id: &str, kind: &str, zone: &str, vswitch: &str);
}

/// Builds the site.
pub fn build(to: &mut dyn Builder) {
    to.route_table(TABLE);
    to.security_group(GROUP, "pods");
    to.vswitch(VSWITCH, ZONE, v4("10.0.0.0/22"), Some("fd00:1::/64".parse().expect("a block")));
    to.vswitch(SMALL_VSWITCH, ZONE, v4("10.0.4.0/28"), None);
    to.vswitch(OTHER_VSWITCH, OTHER_ZONE, v4("10.1.0.0/24"), None);
    for index in 0..MORE_VSWITCHES {
        to.vswitch(&format!("vsw-more-{index:02}"), OTHER_ZONE, v4(&format!("10.2.{index}.0/24")), None);
    }
    to.instance(NODE, TYPE, ZONE, VSWITCH);
    to.instance(OTHER_NODE, TYPE, ZONE, VSWITCH);
    to.instance(FAR_NODE, TYPE, OTHER_ZONE, OTHER_VSWITCH);
}

fn v4(text: &str) -> Ipv4Net {
    text.parse().expect("a block")
}
