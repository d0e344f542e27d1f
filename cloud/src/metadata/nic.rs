//! The interfaces of an instance as its metadata tells them: a folder per MAC, a text per fact.

use std::{net::IpAddr, str::FromStr};

use terway_core::{
    id::Mac,
    metadata::{MetadataError, NicMetadata},
};

use super::{MetadataClient, unavailable};

const MACS: &str = "network/interfaces/macs/";
const ENI: &str = "network/interfaces/macs/<mac>/network-interface-id";
const VSWITCH: &str = "network/interfaces/macs/<mac>/vswitch-id";
const BLOCK: &str = "network/interfaces/macs/<mac>/vswitch-cidr-block";
const GATEWAY: &str = "network/interfaces/macs/<mac>/gateway";
const PRIMARY: &str = "network/interfaces/macs/<mac>/primary-ip-address";
const IPV4: &str = "network/interfaces/macs/<mac>/private-ipv4s";
const IPV6: &str = "network/interfaces/macs/<mac>/ipv6s";
const IPV6_BLOCK: &str = "network/interfaces/macs/<mac>/vswitch-ipv6-cidr-block";
const IPV6_GATEWAY: &str = "network/interfaces/macs/<mac>/ipv6-gateway";

impl MetadataClient {
    pub(super) async fn nics(&self) -> Result<Vec<NicMetadata>, MetadataError> {
        let listing = self.find(MACS).await.map_err(unavailable(MACS))?.unwrap_or_default();
        let mut nics = Vec::new();
        for line in
            listing.lines().map(|line| line.trim().trim_end_matches('/')).filter(|line| !line.is_empty())
        {
            // The list and its folders are not of one moment: an interface that lacks a fact is coming
            // or going, and counts as not there.
            nics.extend(self.nic(line).await?);
        }
        nics.sort_by_key(|nic| nic.mac);
        Ok(nics)
    }

    async fn nic(&self, name: &str) -> Result<Option<NicMetadata>, MetadataError> {
        let bad = |_| MetadataError { path: MACS, reason: format!("`{name}` is not a MAC address") };
        let mac = Mac::try_from(name.to_ascii_lowercase()).map_err(bad)?;
        let Some(eni) = self.fact(ENI, name).await? else { return Ok(None) };
        let Some(vswitch) = self.fact(VSWITCH, name).await? else { return Ok(None) };
        let Some(cidr) = self.fact(BLOCK, name).await? else { return Ok(None) };
        let Some(gateway) = self.fact(GATEWAY, name).await? else { return Ok(None) };
        let block = self.fact(IPV6_BLOCK, name).await?;
        let ipv6 = match block {
            Some(block) => self
                .fact(IPV6_GATEWAY, name)
                .await?
                .map(|gateway| Ok((read(IPV6_BLOCK, &block)?, read(IPV6_GATEWAY, &gateway)?)))
                .transpose()?,
            None => None,
        };
        let mut addresses: Vec<IpAddr> = Vec::new();
        // Both lists of IPv4 addresses have the primary one; the second may be a while behind.
        for path in [PRIMARY, IPV4, IPV6] {
            for text in list(&self.fact(path, name).await?.unwrap_or_default()) {
                let address = read(path, text)?;
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Ok(Some(NicMetadata {
            mac,
            eni: eni.into(),
            vswitch: vswitch.into(),
            cidr: read(BLOCK, &cidr)?,
            gateway: read(GATEWAY, &gateway)?,
            ipv6,
            addresses,
        }))
    }

    /// A fact of an interface; none when it is missing or empty.
    async fn fact(&self, path: &'static str, name: &str) -> Result<Option<String>, MetadataError> {
        let text = self.find(&path.replace("<mac>", name)).await.map_err(unavailable(path))?;
        Ok(text.filter(|text| !text.is_empty()))
    }
}

/// Addresses of `["10.0.0.1","10.0.0.2"]`, of `[2408::1, 2408::2]`, and of lines.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let apart = |letter: char| letter == ',' || letter.is_whitespace();
    let bare = |part: &'_ str| !part.is_empty();
    text.split(apart).map(|part| part.trim_matches(['[', ']', '"', '\''])).filter(move |part| bare(part))
}

fn read<T: FromStr>(path: &'static str, text: &str) -> Result<T, MetadataError> {
    let what = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
    text.parse().map_err(|_| MetadataError { path, reason: format!("`{text}` does not read as {what}") })
}
