//! Typed names. A vSwitch is not an ENI, and the compiler knows.
//!
//! All are cheap to clone (one reference count) because they are keys in many maps at once.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl<T: Into<Arc<str>>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// Elastic network interface, `eni-…`.
    EniId;
    /// vSwitch (subnet of one zone), `vsw-…`.
    VSwitchId;
    /// ECS instance, `i-…`. A node that is deleted and returns under its name has another one.
    InstanceId;
    /// ECS instance type, `ecs.g7.xlarge`.
    InstanceType;
    /// Availability zone, `cn-hangzhou-i`.
    ZoneId;
    /// Security group, `sg-…`.
    SecurityGroupId;
    /// VPC, `vpc-…`.
    VpcId;
    /// Route table of a VPC, `vtb-…`.
    RouteTableId;
    /// Entry of a route table, `rte-…`.
    RouteEntryId;
    /// Kubernetes node name.
    NodeName;
    /// Kubernetes object UID of a pod; tells two pods of one name apart.
    PodUid;
    /// Sandbox (infra container) id given by the runtime; tells two sandboxes of one pod apart.
    ContainerId;
    /// Idempotency key of a cloud call: at most 64 ASCII characters, one per logical request.
    ClientToken;
}

/// Namespace and name of a pod: the key under which the plugin asks for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PodKey {
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// Pod name.
    pub name: Arc<str>,
}

impl PodKey {
    /// Key of the pod `namespace/name`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hardware address of an ENI.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02x}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// A text that is not six hexadecimal octets joined by colons.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a MAC address; expected six hexadecimal octets such as `00:16:3e:01:02:03`")]
pub struct InvalidMac(String);

impl TryFrom<String> for Mac {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        let mut octets = [0u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            *octet = parts
                .next()
                .filter(|part| part.len() == 2)
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(|| InvalidMac(text.clone()))?;
        }
        if parts.next().is_some() {
            return Err(InvalidMac(text));
        }
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_survives_text() {
        let mac = Mac([0, 0x16, 0x3e, 1, 0xab, 0xff]);
        assert_eq!(Mac::try_from(mac.to_string()).expect("valid"), mac);
        for bad in ["", "00:16:3e:01:02", "00:16:3e:01:02:03:04", "0:16:3e:01:02:03", "zz:16:3e:01:02:03"] {
            assert!(Mac::try_from(bad.to_string()).is_err(), "{bad}");
        }
    }
}
