//! What an instance type may hold, and the capacity that follows from it.
//!
//! Formulas: capacity section of the Terway interface; field names of `DescribeInstanceTypes`.

use serde::{Deserialize, Serialize};

use crate::address::{ADDRESSES_PER_PREFIX, Grain, Stack};

/// Quotas of an instance type, as `DescribeInstanceTypes` and the node annotation
/// `alibabacloud.com/instance-type-info` carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceLimits {
    /// ENIs an instance can hold, its primary one included.
    pub eni_quantity: u32,
    /// IPv4 addresses per ENI, its primary one included.
    pub eni_private_ip_address_quantity: u32,
    /// IPv6 addresses per ENI.
    #[serde(default)]
    pub eni_ipv6_address_quantity: u32,
}

impl InstanceLimits {
    /// Limits given as plain numbers: ENIs, IPv4 per ENI, IPv6 per ENI.
    pub const fn new(enis: u32, ipv4_per_eni: u32, ipv6_per_eni: u32) -> Self {
        Self {
            eni_quantity: enis,
            eni_private_ip_address_quantity: ipv4_per_eni,
            eni_ipv6_address_quantity: ipv6_per_eni,
        }
    }

    /// The stack this type can serve: dual only when each IPv4 address has an IPv6 beside it;
    /// otherwise the node falls back to IPv4.
    pub fn stack(&self, wanted: Stack) -> Stack {
        match wanted {
            Stack::Dual if self.eni_ipv6_address_quantity >= self.eni_private_ip_address_quantity => {
                Stack::Dual
            }
            _ => Stack::Ipv4,
        }
    }
}

/// What one node may hold, after configuration has been applied to its type's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCapacity {
    /// Secondary ENIs the node may attach.
    pub max_enis: u32,
    /// Single IPv4 addresses per ENI in address grain (the primary included); slots for prefixes,
    /// one less because the primary takes one, in prefix grain.
    pub per_eni: u32,
    /// Whether slots are single addresses or /28 prefixes.
    pub grain: Grain,
    /// Families of each pod.
    pub stack: Stack,
}

impl NodeCapacity {
    /// Pods one ENI can serve.
    pub fn pods_per_eni(&self) -> u32 {
        match self.grain {
            Grain::Address => self.per_eni,
            Grain::Prefix => self.per_eni * ADDRESSES_PER_PREFIX,
        }
    }

    /// Pods the node can serve.
    pub fn pods(&self) -> u32 {
        self.max_enis * self.pods_per_eni()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dual_stack_needs_as_many_ipv6_as_ipv4() {
        assert_eq!(InstanceLimits::new(4, 15, 15).stack(Stack::Dual), Stack::Dual);
        assert_eq!(InstanceLimits::new(8, 20, 1).stack(Stack::Dual), Stack::Ipv4);
    }

    #[test]
    fn a_prefix_slot_serves_sixteen_pods() {
        let capacity = NodeCapacity { max_enis: 3, per_eni: 14, grain: Grain::Prefix, stack: Stack::Ipv4 };
        assert_eq!(capacity.pods(), 3 * 14 * 16);
    }
}
