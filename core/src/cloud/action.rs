//! OpenAPI actions, named as on the wire.

use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($($name:ident)+) => {
        /// An OpenAPI action.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "each variant is the action of that name")]
        pub enum Action {
            $($name,)+
        }

        impl Action {
            /// All actions, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

actions! {
    CreateNetworkInterface
    AttachNetworkInterface
    DetachNetworkInterface
    DeleteNetworkInterface
    DescribeNetworkInterfaces
    AssignPrivateIpAddresses
    UnassignPrivateIpAddresses
    AssignIpv6Addresses
    UnassignIpv6Addresses
    DescribeInstanceTypes
    DescribeSecurityGroups
    DescribeVSwitches
    DescribeRouteTableList
    DescribeRouteEntryList
    CreateRouteEntry
    DeleteRouteEntry
}

/// The product whose API has an action: its endpoint and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// Elastic Compute Service.
    Ecs,
    /// Virtual Private Cloud.
    Vpc,
}

impl Product {
    /// API version, part of every request.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Ecs => "2014-05-26",
            Self::Vpc => "2016-04-28",
        }
    }

    /// Name as in host names: `ecs.cn-hangzhou.aliyuncs.com`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Vpc => "vpc",
        }
    }
}

impl Action {
    /// The action of a name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }

    /// Whose action it is.
    pub fn product(self) -> Product {
        match self {
            Self::DescribeVSwitches
            | Self::DescribeRouteTableList
            | Self::DescribeRouteEntryList
            | Self::CreateRouteEntry
            | Self::DeleteRouteEntry => Product::Vpc,
            _ => Product::Ecs,
        }
    }

    /// Whether the action changes something.
    pub fn mutates(self) -> bool {
        !self.name().starts_with("Describe")
    }

    /// Client-side ceiling per minute, as the original sets it per process; for route entries, which
    /// a VPC takes one at a time, a call per second.
    pub fn per_minute(self) -> u32 {
        match self {
            Self::DescribeNetworkInterfaces => 800,
            Self::CreateNetworkInterface
            | Self::AttachNetworkInterface
            | Self::DeleteNetworkInterface
            | Self::DescribeSecurityGroups => 500,
            Self::DescribeVSwitches => 300,
            Self::DescribeRouteTableList
            | Self::DescribeRouteEntryList
            | Self::CreateRouteEntry
            | Self::DeleteRouteEntry => 60,
            _ => 400,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
