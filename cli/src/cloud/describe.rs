//! `describe-…`: what there is.

use std::fmt::Display;

use serde::Serialize;
use terway_core::{
    cloud::{DESCRIBE_IDS_MAX, Eni, EniFilter, NextHop, RouteEntry, VSwitchFilter},
    id::{EniId, InstanceId, InstanceType, SecurityGroupId},
    limits::InstanceLimits,
};

use super::{Context, all};
use crate::failure::Failure;

/// `describe-enis`
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct Enis {
    /// These ENIs, whoever made them
    ids: Vec<String>,
    /// All ENIs on this instance, its primary one included
    #[arg(long, value_name = "INSTANCE")]
    on_instance: Option<String>,
    /// ENIs tagged as terway's for this instance, attached or not
    #[arg(long, value_name = "INSTANCE")]
    of_instance: Option<String>,
    /// All ENIs tagged as terway's, as without any option
    #[arg(long)]
    ours: bool,
}

pub(super) async fn enis(args: Enis, context: &Context<'_>) -> Result<String, Failure> {
    let filters = match (args.on_instance, args.of_instance) {
        (Some(instance), _) => vec![EniFilter::OnInstance(instance.into())],
        (_, Some(instance)) => vec![EniFilter::OfInstance(instance.into())],
        _ if args.ids.is_empty() => vec![EniFilter::Ours],
        _ => {
            let ids: Vec<EniId> = args.ids.into_iter().map(Into::into).collect();
            ids.chunks(DESCRIBE_IDS_MAX).map(|ids| EniFilter::Ids(ids.to_vec())).collect()
        }
    };
    let mut rows = Vec::new();
    for filter in &filters {
        rows.extend(all(|next| context.cloud.describe_enis(filter, next)).await?);
    }
    Ok(table(&rows, context))
}

/// ENIs, one a line.
pub(super) fn table(enis: &[Eni], context: &Context<'_>) -> String {
    let heading = ["ENI", "STATUS", "INSTANCE", "VSWITCH", "MAC", "PRIMARY", "IPV4", "IPV6", "PREFIXES"];
    context.rows(heading, enis, |eni| {
        [
            eni.id.to_string(),
            format!("{:?}", eni.status),
            eni.instance.as_ref().map_or_else(String::new, InstanceId::to_string),
            eni.vswitch.to_string(),
            eni.mac.to_string(),
            eni.primary.to_string(),
            eni.addresses.v4.len().to_string(),
            eni.addresses.v6.len().to_string(),
            eni.addresses.prefixes.len().to_string(),
        ]
    })
}

/// `describe-vswitches`
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct VSwitches {
    /// This one
    id: Option<String>,
    /// All of this VPC
    #[arg(long)]
    vpc: Option<String>,
}

pub(super) async fn vswitches(args: VSwitches, context: &Context<'_>) -> Result<String, Failure> {
    let filter = match (args.id, args.vpc) {
        (Some(id), _) => VSwitchFilter::Id(id.into()),
        (None, Some(vpc)) => VSwitchFilter::OfVpc(vpc.into()),
        (None, None) => return Err(Failure::input("a vSwitch or --vpc is needed")),
    };
    let rows = all(|next| context.cloud.describe_vswitches(&filter, next)).await?;
    Ok(context.rows(["VSWITCH", "VPC", "ZONE", "CIDR", "AVAILABLE"], &rows, |row| {
        [
            row.id.to_string(),
            row.vpc.to_string(),
            row.zone.to_string(),
            row.cidr.to_string(),
            row.available.to_string(),
        ]
    }))
}

/// `describe-security-groups`
#[derive(Debug, clap::Args)]
pub(super) struct Groups {
    /// Their ids, at most a hundred
    #[arg(required = true, num_args = 1..=DESCRIBE_IDS_MAX)]
    ids: Vec<String>,
}

pub(super) async fn groups(args: Groups, context: &Context<'_>) -> Result<String, Failure> {
    let ids: Vec<SecurityGroupId> = args.ids.into_iter().map(Into::into).collect();
    let rows = context.cloud.describe_security_groups(&ids).await?;
    let cells =
        |row: &terway_core::cloud::SecurityGroup| [row.id.to_string(), row.vpc.to_string(), row.name.clone()];
    Ok(context.rows(["GROUP", "VPC", "NAME"], &rows, cells))
}

/// `describe-instance-type`
#[derive(Debug, clap::Args)]
pub(super) struct InstanceTypes {
    /// Types, such as ecs.g7.xlarge; one call each
    #[arg(required = true)]
    types: Vec<String>,
}

#[derive(Serialize)]
struct Limits {
    instance_type: InstanceType,
    enis: u32,
    ipv4_per_eni: u32,
    ipv6_per_eni: u32,
}

impl Limits {
    fn new(instance_type: InstanceType, limits: InstanceLimits) -> Self {
        Self {
            instance_type,
            enis: limits.eni_quantity,
            ipv4_per_eni: limits.eni_private_ip_address_quantity,
            ipv6_per_eni: limits.eni_ipv6_address_quantity,
        }
    }
}

pub(super) async fn instance_types(args: InstanceTypes, context: &Context<'_>) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for name in args.types.into_iter().map(InstanceType::from) {
        let limits = context.cloud.describe_instance_type(&name).await?;
        rows.push(Limits::new(name, limits));
    }
    Ok(context.rows(["TYPE", "ENIS", "IPV4/ENI", "IPV6/ENI"], &rows, |row| {
        [
            row.instance_type.to_string(),
            row.enis.to_string(),
            row.ipv4_per_eni.to_string(),
            row.ipv6_per_eni.to_string(),
        ]
    }))
}

/// `describe-route-tables`
#[derive(Debug, clap::Args)]
pub(super) struct RouteTables {
    /// The VPC
    vpc: String,
}

pub(super) async fn route_tables(args: RouteTables, context: &Context<'_>) -> Result<String, Failure> {
    let vpc = args.vpc.into();
    let rows = all(|next| context.cloud.describe_route_tables(&vpc, next)).await?;
    Ok(context.rows(["TABLE", "VPC", "TYPE", "VSWITCHES"], &rows, |row| {
        let kind = if row.system { "System" } else { "Custom" };
        [row.id.to_string(), row.vpc.to_string(), kind.to_owned(), joined(&row.vswitches)]
    }))
}

fn joined(list: &[impl Display]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `describe-route-entries`
#[derive(Debug, clap::Args)]
pub(super) struct RouteEntries {
    /// The route table
    table: String,
}

pub(super) async fn route_entries(args: RouteEntries, context: &Context<'_>) -> Result<String, Failure> {
    let table = args.table.into();
    let rows = all(|next| context.cloud.describe_route_entries(&table, next)).await?;
    Ok(context.rows(["ENTRY", "DESTINATION", "TYPE", "STATUS", "NEXT HOP"], &rows, |row: &RouteEntry| {
        let kind = if row.custom { "Custom" } else { "System" };
        let hop = row.next_hop.as_ref().map_or_else(|| "local".to_owned(), hop);
        [row.id.to_string(), row.destination.to_string(), kind.to_owned(), format!("{:?}", row.status), hop]
    }))
}

fn hop(hop: &NextHop) -> String {
    format!("{} {}", hop.kind(), hop.id())
}
