//! `ip assign | unassign`

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{Assign, BATCH},
    id::EniId,
};

use super::{Context, token};
use crate::{failure::Failure, print};

/// `ip`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Assign addresses or prefixes to an ENI and print them
    Assign(AssignArgs),
    /// Take addresses or prefixes away from an ENI
    Unassign(UnassignArgs),
}

/// `ip assign`
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["ipv4", "ipv6", "prefixes"])))]
pub(super) struct AssignArgs {
    /// The ENI
    eni: String,
    /// So many IPv4 addresses
    #[arg(long, value_name = "COUNT", value_parser = count())]
    ipv4: Option<u32>,
    /// So many IPv6 addresses
    #[arg(long, value_name = "COUNT", value_parser = count())]
    ipv6: Option<u32>,
    /// So many IPv4 prefixes of 16 addresses
    #[arg(long, value_name = "COUNT", value_parser = count())]
    prefixes: Option<u32>,
    /// Idempotency token: the same one gives the same addresses
    #[arg(long, value_name = "TOKEN")]
    client_token: Option<String>,
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(BATCH))
}

/// `ip unassign`
#[derive(Debug, clap::Args)]
pub(super) struct UnassignArgs {
    /// The ENI
    eni: String,
    /// Addresses of either family, and prefixes such as 10.0.0.16/28
    #[arg(required = true, value_parser = what)]
    addresses: Vec<What>,
}

/// An address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Prefix(Ipv4Net),
}

fn what(text: &str) -> Result<What, String> {
    let v4 = || text.parse().map(What::V4).ok();
    let v6 = || text.parse().map(What::V6).ok();
    let prefix = || text.parse().map(What::Prefix).ok();
    v4().or_else(v6)
        .or_else(prefix)
        .ok_or_else(|| "expected an address, or a prefix such as 10.0.0.16/28".to_owned())
}

pub(super) async fn perform(command: Command, context: &Context<'_>) -> Result<String, Failure> {
    match command {
        Command::Assign(args) => assign(args, context).await,
        Command::Unassign(args) => unassign(args, context).await,
    }
}

async fn assign(args: AssignArgs, context: &Context<'_>) -> Result<String, Failure> {
    let or_none = Option::unwrap_or_default;
    let count =
        AddressCount { v4: or_none(args.ipv4), v6: or_none(args.ipv6), prefixes: or_none(args.prefixes) };
    let request = Assign { token: token(args.client_token.as_ref())?, eni: args.eni.into(), count };
    (context.tell)(&format!("client token: {}", request.token));
    let set = if count.v6 > 0 {
        context.cloud.assign_ipv6(&request).await?
    } else {
        context.cloud.assign_ipv4(&request).await?
    };
    if context.json {
        return Ok(print::json(&set));
    }
    let v4 = set.v4.iter().map(ToString::to_string);
    let v6 = set.v6.iter().map(ToString::to_string);
    let prefixes = set.prefixes.iter().map(ToString::to_string);
    Ok(v4.chain(v6).chain(prefixes).map(|line| line + "\n").collect())
}

/// A call for each kind: the API takes addresses of one family, or prefixes.
async fn unassign(args: UnassignArgs, context: &Context<'_>) -> Result<String, Failure> {
    let eni = EniId::from(args.eni);
    let (mut v4, mut v6, mut prefixes) =
        (AddressSet::default(), AddressSet::default(), AddressSet::default());
    for what in args.addresses {
        match what {
            What::V4(ip) => v4.v4.push(ip),
            What::V6(ip) => v6.v6.push(ip),
            What::Prefix(prefix) => prefixes.prefixes.push(prefix),
        }
    }
    let mut count = 0;
    for set in [v4, prefixes].iter().filter(|set| !set.is_empty()) {
        context.cloud.unassign_ipv4(&eni, set).await?;
        count += set.v4.len() + set.prefixes.len();
    }
    if !v6.is_empty() {
        context.cloud.unassign_ipv6(&eni, &v6).await?;
        count += v6.v6.len();
    }
    Ok(context.one(
        || format!("{eni}: {count} taken away"),
        &serde_json::json!({ "eni": eni, "unassigned": count }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_prefixes_are_told_apart() {
        assert_eq!(what("10.0.0.1"), Ok(What::V4(Ipv4Addr::new(10, 0, 0, 1))));
        assert!(matches!(what("2001:db8::1"), Ok(What::V6(_))));
        assert!(matches!(what("10.0.0.16/28"), Ok(What::Prefix(_))));
        for bad in ["", "10.0.0", "eni-1", "10.0.0.0/33"] {
            assert!(what(bad).is_err(), "{bad}");
        }
    }
}
