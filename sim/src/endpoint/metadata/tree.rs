//! The tree of metadata: what stands under each path.
//!
//! Paths and forms are those of the vendor's "instance metadata" pages; what is not listed there is not found.
//! Directories list their entries one a line, directories among them with a `/` at the end.

use std::{fmt::Display, net::IpAddr, sync::Arc};

use http::StatusCode;
use serde_json::json;
use terway_core::{
    cloud::Eni,
    id::InstanceId,
    metadata::{InstanceIdentity, NicMetadata},
};

use super::{Refused, refuse};
use crate::endpoint::{Endpoint, Silence, reply::utc};

/// The role of every instance.
const ROLE: &str = "terway-sim";

/// What is told.
pub(super) enum Told {
    Text(String),
    Json(String),
}

/// A listing that never changes, or None for what is no such directory.
fn directory(path: &str) -> Option<&'static [&'static str]> {
    Some(match path {
        "" => &[
            "instance-id",
            "instance/",
            "mac",
            "network/",
            "ram/",
            "region-id",
            "vpc-cidr-block",
            "vpc-id",
            "vswitch-cidr-block",
            "vswitch-id",
            "zone-id",
        ],
        "instance" => &["instance-type"],
        "network" => &["interfaces/"],
        "network/interfaces" => &["macs/"],
        "ram" => &["security-credentials/"],
        "ram/security-credentials" => &[ROLE],
        _ => return None,
    })
}

/// What stands under a NIC.
const NIC: &[&str] = &[
    "gateway",
    "ipv6-gateway",
    "ipv6s",
    "netmask",
    "network-interface-id",
    "primary-ip-address",
    "private-ipv4s",
    "vpc-cidr-block",
    "vpc-id",
    "vswitch-cidr-block",
    "vswitch-id",
    "vswitch-ipv6-cidr-block",
];

impl Endpoint {
    /// Who the instance is. Takes the time that a read takes.
    pub(super) async fn identity(&self, instance: &InstanceId) -> Result<InstanceIdentity, Silence> {
        self.cloud.metadata(instance.clone()).identity().await.map_err(|_| Silence)
    }

    async fn interfaces(&self, instance: &InstanceId) -> Result<Vec<NicMetadata>, Silence> {
        self.cloud.metadata(instance.clone()).interfaces().await.map_err(|_| Silence)
    }

    /// What stands under `meta-data/<path>`. Each request is one read of the host.
    pub(super) async fn read(self: &Arc<Self>, instance: &InstanceId, path: &str) -> Result<Told, Refused> {
        let path = path.trim_end_matches('/');
        let found = if let Some(listing) = directory(path) {
            self.identity(instance).await?;
            Some(Told::Text(listing.join("\n")))
        } else if let Some(rest) = path.strip_prefix("network/interfaces/macs") {
            self.of_nics(&self.interfaces(instance).await?, rest)
        } else if let Some(role) = path.strip_prefix("ram/security-credentials/") {
            self.identity(instance).await?;
            (role == ROLE).then(|| Told::Json(self.role_key(instance)))
        } else if matches!(path, "mac" | "vswitch-id" | "vswitch-cidr-block") {
            let nics = self.interfaces(instance).await?;
            let primary = self.cloud.primary_nic(instance);
            nics.iter().find(|nic| Some(&nic.eni) == primary.as_ref()).map(|nic| match path {
                "mac" => text(nic.mac),
                "vswitch-id" => text(&nic.vswitch),
                _ => text(nic.cidr),
            })
        } else {
            self.of_instance(&self.identity(instance).await?, path)
        };
        found.map_or_else(|| refuse(StatusCode::NOT_FOUND, "Not Found"), Ok)
    }

    fn of_instance(&self, identity: &InstanceIdentity, path: &str) -> Option<Told> {
        Some(match path {
            "instance-id" => text(&identity.instance),
            "instance/instance-type" => text(&identity.instance_type),
            "region-id" => text(&identity.region),
            "zone-id" => text(&identity.zone),
            "vpc-id" => text(&identity.vpc),
            "vpc-cidr-block" => text(self.cloud.vpc_block()),
            _ => return None,
        })
    }

    /// What stands under `macs`, which is a listing, and under each NIC of it.
    fn of_nics(&self, nics: &[NicMetadata], path: &str) -> Option<Told> {
        if path.is_empty() {
            let macs: Vec<String> = nics.iter().map(|nic| format!("{}/", nic.mac)).collect();
            return Some(Told::Text(macs.join("\n")));
        }
        let path = path.strip_prefix('/')?;
        let (mac, name) = path.split_once('/').unwrap_or((path, ""));
        let nic = nics.iter().find(|nic| nic.mac.to_string() == mac)?;
        let v4 = nic.addresses.iter().filter(|ip| ip.is_ipv4());
        let v6: Vec<String> = nic.addresses.iter().filter(|ip| ip.is_ipv6()).map(IpAddr::to_string).collect();
        Some(match name {
            "" => Told::Text(NIC.join("\n")),
            "network-interface-id" => text(&nic.eni),
            "primary-ip-address" => text(self.primary_address(nic)?),
            "private-ipv4s" => text(json!(v4.collect::<Vec<_>>())),
            // The vendor writes these without quotes.
            "ipv6s" if !v6.is_empty() => text(format_args!("[{}]", v6.join(", "))),
            "gateway" => text(nic.gateway),
            "ipv6-gateway" => text(nic.ipv6?.1),
            "netmask" => text(nic.cidr.netmask()),
            "vswitch-id" => text(&nic.vswitch),
            "vswitch-cidr-block" => text(nic.cidr),
            "vswitch-ipv6-cidr-block" => text(nic.ipv6?.0),
            "vpc-id" => text(self.cloud.place().vpc),
            "vpc-cidr-block" => text(self.cloud.vpc_block()),
            _ => return None,
        })
    }

    /// The primary address of a NIC: the host lists it first.
    fn primary_address(&self, nic: &NicMetadata) -> Option<IpAddr> {
        let known = self.cloud.eni(&nic.eni).map(|eni: Arc<Eni>| IpAddr::V4(eni.primary));
        known.filter(|ip| nic.addresses.contains(ip)).or_else(|| nic.addresses.first().copied())
    }

    fn role_key(&self, instance: &InstanceId) -> String {
        let now = self.now();
        let key = self.keys.of_instance(instance, now);
        let expires = key.expires.map(utc).unwrap_or_default();
        json!({
            "AccessKeyId": key.id,
            "AccessKeySecret": key.secret,
            "SecurityToken": key.token,
            "Expiration": expires,
            "LastUpdated": utc(now),
            "Code": "Success",
        })
        .to_string()
    }
}

fn text(value: impl Display) -> Told {
    Told::Text(value.to_string())
}
