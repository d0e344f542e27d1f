//! `terway-cli cloud`: one module per kind of thing, one function per command.
//!
//! A command is one call of the API, but that lists are followed to their end; nothing is tried again,
//! and nothing is asked: what changes something takes explicit ids only.

mod describe;
mod eni;
mod ip;
mod route;
mod wait;
mod whoami;

use clap::Subcommand;
use serde::Serialize;
use terway_cloud::system::SystemEntropy;
use terway_core::{
    cloud::{Cloud, CloudError, Page},
    entropy::Entropy,
    id::ClientToken,
};

use crate::{connect::Options, failure::Failure, print};

/// `cloud`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    options: Options,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Call(Call),
    /// Tell which key is used and where it comes from; no secret is shown
    ///
    /// Keys come from the first of: --access-key-id with --access-key-secret-file; the files access-key-id
    /// and access-key-secret in /var/alibaba-addon-secret; ALIBABA_CLOUD_ACCESS_KEY_ID with
    /// ALIBABA_CLOUD_ACCESS_KEY_SECRET; the RAM role of the instance.
    Whoami,
}

/// What calls the API.
#[derive(Debug, Subcommand)]
enum Call {
    /// List ENIs: those tagged as terway's, those of an instance, or some by id
    DescribeEnis(describe::Enis),
    /// List the vSwitches of a VPC, or one
    DescribeVswitches(describe::VSwitches),
    /// List security groups by id
    DescribeSecurityGroups(describe::Groups),
    /// Show how many ENIs and addresses instance types may have
    DescribeInstanceType(describe::InstanceTypes),
    /// List the route tables of a VPC
    DescribeRouteTables(describe::RouteTables),
    /// List the entries of a route table
    DescribeRouteEntries(describe::RouteEntries),
    /// Create, attach, detach and delete ENIs
    #[command(subcommand)]
    Eni(eni::Command),
    /// Assign and take away addresses of an ENI
    #[command(subcommand)]
    Ip(ip::Command),
    /// Create and delete route entries
    #[command(subcommand)]
    Route(route::Command),
}

/// What a command has to work with.
pub(crate) struct Context<'a> {
    pub(crate) cloud: &'a dyn Cloud,
    pub(crate) json: bool,
    /// Progress, a line at a time.
    pub(crate) tell: &'a (dyn Fn(&str) + Sync),
}

impl Context<'_> {
    /// Rows as a table or as JSON.
    fn rows<T: Serialize, const N: usize>(
        &self,
        heading: [&str; N],
        rows: &[T],
        cells: impl Fn(&T) -> [String; N],
    ) -> String {
        if self.json {
            print::json(&rows)
        } else {
            print::table(heading, &rows.iter().map(cells).collect::<Vec<_>>())
        }
    }

    /// One thing: a line for people, a document for programs.
    fn one(&self, line: impl FnOnce() -> String, value: &impl Serialize) -> String {
        if self.json { print::json(value) } else { line() + "\n" }
    }
}

/// A list to its end, page by page.
pub(crate) async fn all<T, F>(mut page: impl FnMut(Option<String>) -> F) -> Result<Vec<T>, CloudError>
where
    F: Future<Output = Result<Page<T>, CloudError>>,
{
    let (mut rows, mut next) = (Vec::new(), None);
    loop {
        let page = page(next).await?;
        rows.extend(page.rows);
        next = page.next;
        if next.is_none() {
            return Ok(rows);
        }
    }
}

/// The token that a call is idempotent by: the user's, or a new one.
fn token(given: Option<&String>) -> Result<ClientToken, Failure> {
    match given {
        Some(text) if text.is_empty() || text.len() > 64 || !text.is_ascii() => {
            Err(Failure::input(format!("--client-token: `{text}` is not 1 to 64 ASCII characters")))
        }
        Some(text) => Ok(text.as_str().into()),
        None => Ok(format!("cli-{:016x}{:016x}", SystemEntropy.next_u64(), SystemEntropy.next_u64()).into()),
    }
}

/// Does a command and prints what it tells.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::input(format!("no runtime: {error}")))?;
    let text = runtime.block_on(async {
        let connection = args.options.connect(|name| std::env::var(name).ok()).await?;
        let tell = |line: &str| print::err(&format!("{line}\n"));
        match args.command {
            Command::Whoami => whoami::whoami(&connection, args.json).await,
            Command::Call(call) => {
                perform(call, &Context { cloud: &connection.client, json: args.json, tell: &tell }).await
            }
        }
    })?;
    print::out(&text);
    Ok(())
}

async fn perform(call: Call, context: &Context<'_>) -> Result<String, Failure> {
    match call {
        Call::DescribeEnis(args) => describe::enis(args, context).await,
        Call::DescribeVswitches(args) => describe::vswitches(args, context).await,
        Call::DescribeSecurityGroups(args) => describe::groups(args, context).await,
        Call::DescribeInstanceType(args) => describe::instance_types(args, context).await,
        Call::DescribeRouteTables(args) => describe::route_tables(args, context).await,
        Call::DescribeRouteEntries(args) => describe::route_entries(args, context).await,
        Call::Eni(command) => eni::perform(command, context).await,
        Call::Ip(command) => ip::perform(command, context).await,
        Call::Route(command) => route::perform(command, context).await,
    }
}

#[cfg(test)]
mod tests;
