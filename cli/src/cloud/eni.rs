//! `eni create | attach | detach | delete`

use terway_core::{
    address::AddressCount,
    cloud::{CREATE_SECONDARY_MAX, CreateEni, RetryClass},
    id::{EniId, InstanceId},
};

use super::{
    Context,
    describe::table,
    token,
    wait::{Goal, Wait},
};
use crate::failure::Failure;

/// `eni`
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Create an ENI in a vSwitch and print it
    ///
    /// It carries only the tags that are given: without `creator=terway` no agent takes it for its own, and
    /// none collects it when it is left over.
    Create(Create),
    /// Attach an ENI to an instance of its zone
    Attach(Pair),
    /// Detach an ENI from its instance
    Detach(Pair),
    /// Delete an ENI that is attached to nothing, with its addresses
    Delete(One),
}

/// `eni create`
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The vSwitch
    #[arg(long)]
    vswitch: String,
    /// A security group; may be given up to ten times
    #[arg(long = "security-group", value_name = "GROUP", required = true)]
    security_groups: Vec<String>,
    /// IPv4 addresses, the primary one included
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(CREATE_SECONDARY_MAX) + 1))]
    ipv4: u32,
    /// IPv6 addresses
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    ipv6: u32,
    /// IPv4 prefixes of 16 addresses
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    prefixes: u32,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// Idempotency token: the same one gives the same ENI
    #[arg(long, value_name = "TOKEN")]
    client_token: Option<String>,
}

/// An ENI and an instance.
#[derive(Debug, clap::Args)]
pub(super) struct Pair {
    /// The ENI
    eni: String,
    /// The instance
    instance: String,
    #[command(flatten)]
    wait: Wait,
}

/// An ENI.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The ENI
    eni: String,
    #[command(flatten)]
    wait: Wait,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

pub(super) async fn perform(command: Command, context: &Context<'_>) -> Result<String, Failure> {
    match command {
        Command::Create(args) => create(args, context).await,
        Command::Attach(Pair { eni, instance, wait }) => {
            let (eni, instance) = (EniId::from(eni), InstanceId::from(instance));
            context.cloud.attach_eni(&eni, &instance).await?;
            wait.until(&eni, &Goal::InUse(instance), context).await
        }
        Command::Detach(Pair { eni, instance, wait }) => {
            let eni = EniId::from(eni);
            done_before(context.cloud.detach_eni(&eni, &instance.into()).await, context)?;
            wait.until(&eni, &Goal::Available, context).await
        }
        Command::Delete(One { eni, wait }) => {
            let eni = EniId::from(eni);
            done_before(context.cloud.delete_eni(&eni).await, context)?;
            wait.until(&eni, &Goal::Gone, context).await
        }
    }
}

async fn create(args: Create, context: &Context<'_>) -> Result<String, Failure> {
    let request = CreateEni {
        token: token(args.client_token.as_ref())?,
        vswitch: args.vswitch.into(),
        security_groups: args.security_groups.into_iter().map(Into::into).collect(),
        count: AddressCount { v4: args.ipv4, v6: args.ipv6, prefixes: args.prefixes },
        tags: args.tags,
    };
    // Told before the call: whoever loses the answer can ask for it again.
    (context.tell)(&format!("client token: {}", request.token));
    let eni = context.cloud.create_eni(&request).await?;
    Ok(if context.json { crate::print::json(&eni) } else { table(&[eni], context) })
}

/// What is so already is no failure; it is told all the same.
fn done_before(
    result: Result<(), terway_core::cloud::CloudError>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    match result {
        Err(error) if error.class == RetryClass::AlreadyDone => {
            (context.tell)(&format!("{} ({}): it is so already", error.message, error.code));
            Ok(())
        }
        result => Ok(result?),
    }
}
