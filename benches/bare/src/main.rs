//! The kernel's part of an ADD and of a DEL and nothing else: no agent, no JSON, no look at what is there, nothing
//! undone. It is what an ADD costs at least, with the same messages, settings and answers; `benches/benches/cni`
//! measures the plugin against it.
//!
//! ```sh
//! terway-bare add <netns> <host link> <eni link> <table> <address>…
//! terway-bare del <host link> <table> <address>…
//! ```

mod netlink;
mod verb;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match &*words {
        ["add", netns, link, eni, table, addresses @ ..] => verb::add(netns, link, eni, table, addresses),
        ["del", link, table, addresses @ ..] => verb::del(link, table, addresses),
        _ => Err("usage: terway-bare add <netns> <host link> <eni link> <table> <address>… | del <host link> <table> <address>…".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("terway-bare: {error}");
            ExitCode::FAILURE
        }
    }
}
