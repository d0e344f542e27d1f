//! `route create | delete`

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;
use terway_core::{
    cloud::{CreateRoute, NextHop},
    id::{RouteEntryId, RouteTableId},
};

use super::{Context, all, token};
use crate::failure::Failure;

/// `route`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create a route entry and print its id
    Create(Create),
    /// Delete a route entry
    Delete(Delete),
}

/// `route create`
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("hop").required(true).args(["instance", "eni"])))]
pub(super) struct Create {
    /// The route table
    table: String,
    /// What it is for: a block, or an address
    #[arg(value_parser = block)]
    destination: IpNet,
    /// It leads to this instance
    #[arg(long)]
    instance: Option<String>,
    /// It leads to this ENI
    #[arg(long)]
    eni: Option<String>,
    /// Idempotency token: the same one gives the same entry
    #[arg(long, value_name = "TOKEN")]
    client_token: Option<String>,
}

/// `route delete`
#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// The route table
    table: String,
    /// The entry
    entry: String,
}

fn block(text: &str) -> Result<IpNet, String> {
    let block: Option<IpNet> = text.parse().ok().or_else(|| text.parse::<IpAddr>().map(IpNet::from).ok());
    match block {
        None => Err("expected a block such as 10.0.0.0/24, or an address".to_owned()),
        Some(block) if block.trunc() != block => {
            Err(format!("bits are set behind the prefix; did you mean {}?", block.trunc()))
        }
        Some(block) => Ok(block),
    }
}

pub(super) async fn perform(command: Command, context: &Context<'_>) -> Result<String, Failure> {
    match command {
        Command::Create(args) => create(args, context).await,
        Command::Delete(args) => delete(args, context).await,
    }
}

async fn create(args: Create, context: &Context<'_>) -> Result<String, Failure> {
    let next_hop = match (args.instance, args.eni) {
        (Some(id), _) => NextHop::Instance(id.into()),
        (None, Some(id)) => NextHop::NetworkInterface(id.into()),
        (None, None) => return Err(Failure::input("--instance or --eni is needed")),
    };
    let request = CreateRoute {
        token: token(args.client_token.as_ref())?,
        table: args.table.into(),
        destination: args.destination,
        next_hop,
    };
    (context.tell)(&format!("client token: {}", request.token));
    let id = context.cloud.create_route_entry(&request).await?;
    Ok(context.one(|| id.to_string(), &json!({ "route_entry": id })))
}

/// Looks the entry up first, so that what is deleted has been seen and can be told.
async fn delete(args: Delete, context: &Context<'_>) -> Result<String, Failure> {
    let (table, id) = (RouteTableId::from(args.table), RouteEntryId::from(args.entry));
    let rows = all(|next| context.cloud.describe_route_entries(&table, next)).await?;
    let Some(entry) = rows.into_iter().find(|row| row.id == id) else {
        return Err(Failure::input(format!("there is no entry `{id}` in route table `{table}`")));
    };
    context.cloud.delete_route_entry(&entry).await?;
    let line = || format!("{id}: requested, {} is on its way out", entry.destination);
    Ok(context.one(line, &json!({ "route_entry": id, "destination": entry.destination })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_block_or_an_address() {
        assert_eq!(block("10.0.0.0/24").expect("a block").to_string(), "10.0.0.0/24");
        assert_eq!(block("10.0.0.7").expect("an address").to_string(), "10.0.0.7/32");
        assert!(block("10.0.0.7/24").expect_err("bits").contains("10.0.0.0/24?"));
        assert!(block("somewhere").is_err());
    }
}
