//! `policy status`, `dump --node` and `flows`: what this node's kernel enforces, read from its maps.
//!
//! - `status`, `rules`, `flows`: each as text

mod flows;
mod rules;
mod status;

use std::{
    error::Error as _,
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use terway_bpf::{
    Error,
    inspect::{self, Node, Pinned},
    programs::PIN_DIRECTORY,
};
use terway_policy::layout::LAYOUT;

use crate::{failure::Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Folder in which the node's agent pins its maps
    #[arg(long, value_name = "DIR", default_value = PIN_DIRECTORY)]
    bpf_pin_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Node")]
pub(super) struct NodeArgs {
    /// From the maps of this node, not from policies
    #[arg(long, conflicts_with_all = ["pod", "namespace", "files", "offline", "kubeconfig", "context"])]
    pub(super) node: bool,
    /// One endpoint: index or name of its link, or an address of its pod
    #[arg(long, value_name = "LINK|ADDRESS", requires = "node")]
    endpoint: Option<String>,
    /// Folder in which the node's agent pins its maps
    #[arg(long, value_name = "DIR", default_value = PIN_DIRECTORY, requires = "node")]
    bpf_pin_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct FlowsArgs {
    /// One endpoint: index or name of its link, or an address of its pod
    #[arg(long, value_name = "LINK|ADDRESS")]
    endpoint: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value = "100")]
    limit: NonZeroUsize,
    /// Folder in which the node's agent pins its maps
    #[arg(long, value_name = "DIR", default_value = PIN_DIRECTORY)]
    bpf_pin_dir: PathBuf,
}

/// The whole, and whether there was anything to be read.
pub(super) fn status(args: &StatusArgs, json: bool) -> Result<(String, Result<(), Failure>), Failure> {
    let folder = &args.bpf_pin_dir;
    let pinned = Pinned::open(folder)?;
    let status = inspect::status::status(folder, &pinned)?;
    let text = if json { print::json(&status) } else { status::text(&status) };
    Ok((text, node(pinned, folder).map(drop)))
}

/// Rules of endpoints.
pub(super) fn dump(args: &NodeArgs, json: bool) -> Result<String, Failure> {
    let node = open(&args.bpf_pin_dir)?;
    let link = find(&node, args.endpoint.as_deref())?;
    let dump = node.dump(link)?;
    if let Some(text) = args.endpoint.as_deref().filter(|_| dump.endpoints.is_empty()) {
        return Err(nobody(text));
    }
    Ok(if json { print::json(&dump) } else { rules::text(&dump) })
}

/// Known flows.
pub(super) fn flows(args: &FlowsArgs, json: bool) -> Result<String, Failure> {
    let node = open(&args.bpf_pin_dir)?;
    let link = find(&node, args.endpoint.as_deref())?;
    let flows = node.flows(link, args.limit.get())?;
    Ok(if json { print::json(&flows) } else { flows::text(&flows) })
}

fn open(folder: &Path) -> Result<Box<Node>, Failure> {
    node(Pinned::open(folder)?, folder)
}

fn node(pinned: Pinned, folder: &Path) -> Result<Box<Node>, Failure> {
    let shown = folder.display();
    match pinned {
        Pinned::Node(node) => Ok(node),
        Pinned::Nothing => Err(Failure::Node(format!(
            "nothing is pinned at {shown}: no policy is enforced from there; run this on a node whose terway-daemon \
             enforces policy, or give the folder of its flag --bpf-pin-dir"
        ))),
        Pinned::Other { layout } => {
            let found =
                layout.map_or("of no known layout".to_owned(), |layout| format!("of layout {layout}"));
            Err(Failure::Node(format!(
                "the maps at {shown} are {found}, and this program reads layout {LAYOUT}: they are enforced, but by \
                 another version; use its terway-cli"
            )))
        }
    }
}

fn find(node: &Node, text: Option<&str>) -> Result<Option<u32>, Failure> {
    let Some(text) = text else { return Ok(None) };
    node.find(text)?.map_or_else(|| Err(nobody(text)), |link| Ok(Some(link)))
}

fn nobody(text: &str) -> Failure {
    Failure::input(format!(
        "--endpoint: `{text}` is no endpoint of this node; allowed are index or name of its link and addresses of its \
         pod, as `terway-cli policy status` shows them"
    ))
}

/// What the kernel said, with what may help.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let next = error.to_string();
            if !text.contains(&next) {
                text = format!("{text}: {next}");
            }
            source = error.source();
        }
        if let Error::Pin { source, .. } = &error
            && source.kind() == io::ErrorKind::PermissionDenied
        {
            text += "; run this as root";
        }
        Self::Node(text)
    }
}

/// How a link is called: by its name where it has one.
fn called(link: u32, interface: Option<&str>) -> String {
    interface.map_or_else(|| format!("link {link}"), str::to_owned)
}
