//! The acceptance checklist of CNI, one row each, against the program that ships, an agent behind the services that
//! ship, and the kernel. `docs/cni.md` holds the rows as a table and fails this test when it is stale;
//! `TERWAY_BLESS=1` writes it.

mod add;
mod bed;
mod chain;
mod check;
mod crash;
mod del;
mod general;
mod node;
mod start;

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// How a row is shown.
enum Proof {
    /// By what is done here; panics where it does not hold.
    Here(fn()),
    /// Here as far as it is this program's, and what is left.
    Partly(fn(), &'static str),
    /// Here where a program of others is there; the first says what is missing.
    With(fn() -> Result<(), String>, fn(), &'static str),
    /// Not here, and why.
    Not(&'static str),
}

use Proof::{Here, Not, Partly, With};

struct Row {
    number: u32,
    verb: &'static str,
    asks: &'static str,
    proof: Proof,
}

const fn row(number: u32, verb: &'static str, asks: &'static str, proof: Proof) -> Row {
    Row { number, verb, asks, proof }
}

const ROWS: [Row; 42] = [
    row(1, "all", "six verbs are dispatched, any other is code 4", Here(general::verbs)),
    row(2, "all", "all variables that are missing are listed at once", Here(general::missing)),
    row(3, "all", "syntax of container id, interface, arguments", Here(general::syntax)),
    row(4, "all", "malformed JSON is code 6, a bad name 7, a bad version 1", Here(general::configuration)),
    row(
        5,
        "all",
        "one JSON document on stdout; nothing on success but of ADD and VERSION",
        Here(general::one_document),
    ),
    row(6, "all", "no panic on any stdin", Here(general::any_stdin)),
    row(7, "all", "by hand: usage on stderr, exit code not zero", Here(general::by_hand)),
    row(8, "ADD", "an interface that exists is an error and stays as it is", Here(add::existing)),
    row(9, "ADD", "the result is valid in all five versions", Here(add::versions)),
    row(10, "ADD", "killed at each system call, a DEL leaves no residue", Here(crash::at_each_call)),
    row(11, "ADD", "ADD twice: an error, the first interface and its address stay", Here(add::twice)),
    row(12, "ADD", "two sandboxes of one pod UID: two addresses, both freed", Here(add::two_sandboxes)),
    row(13, "ADD", "twenty at once", Here(add::twenty)),
    row(14, "ADD", "no namespace at the path: code 4, nothing allocated", Here(add::no_netns)),
    row(15, "ADD", "agent down: code 11, says so", Here(add::agent_down)),
    row(16, "DEL", "succeeds with an empty namespace", Here(del::empty_netns)),
    row(17, "DEL", "succeeds when the namespace is gone", Here(del::vanished_netns)),
    row(18, "DEL", "succeeds when the path is no namespace", Here(del::no_namespace)),
    row(19, "DEL", "succeeds when the interface is missing", Here(del::no_interface)),
    row(20, "DEL", "succeeds when allocation or state is lost", Here(del::state_lost)),
    row(21, "DEL", "succeeds without `prevResult`", Here(del::no_prev_result)),
    row(22, "DEL", "succeeds when no ADD ever was, or a DEL was before", Here(del::again)),
    row(23, "DEL", "a stale DEL leaves the address's new owner alone", Here(del::stale)),
    row(24, "DEL", "a DEL that races its own ADD comes after it, and nothing is left", Here(del::racing)),
    row(
        25,
        "DEL",
        "agent down: written down, replayed once",
        Partly(
            del::spooled,
            "read back as the agent will; that `terway-daemon` replays is for its own tests",
        ),
    ),
    row(
        26,
        "DEL",
        "a configuration that changed since ADD does not matter",
        Here(del::changed_configuration),
    ),
    row(27, "CHECK", "passes after a fresh ADD", Here(check::fresh)),
    row(
        28,
        "CHECK",
        "each mutation fails it and is named",
        Partly(check::mutations, "twenty-nine of them; there are no programs to take away yet"),
    ),
    row(29, "CHECK", "what chained plugins add passes", Here(check::chained)),
    row(
        30,
        "STATUS",
        "agent down, silent or exhausted: code 50 within a second; impaired: 51",
        Partly(node::status_bad, "that the agent reports an unsynced state is for its own tests"),
    ),
    row(31, "STATUS", "succeeds again after recovery", Here(node::status_recovers)),
    row(32, "STATUS", "is never held up by an ADD", Here(node::status_beside_add)),
    row(33, "GC", "frees only what is unlisted, of this network", Here(node::gc_unlisted)),
    row(34, "GC", "an empty list frees all of the network", Here(node::gc_all)),
    row(35, "GC", "without a list, or with null, frees nothing: code 7", Here(node::gc_nothing)),
    row(36, "GC", "twice is as once, and errors do not end it", Here(node::gc_again)),
    row(37, "GC", "an ADD at the same time survives", Here(node::gc_beside_add)),
    row(38, "VERSION", "works with nothing on stdin, and with junk", Here(general::version)),
    row(
        39,
        "all",
        "chained with `portmap` and `bandwidth`",
        With(
            chain::peers,
            chain::with_debians,
            "behind `loopback`, before `portmap` and `bandwidth`, of Debian's containernetworking-plugins; these two \
             refuse to come first",
        ),
    ),
    row(
        40,
        "all",
        "driven by `cnitool`",
        With(
            || chain::tool().map(drop),
            chain::by_cnitool,
            "0.4.0, 1.0.0 and 1.1.0, where `TERWAY_CNITOOL` names upstream's tool; `45-plugin` builds it where there is Go",
        ),
    ),
    row(41, "all", "containerd creates, kills, restarts", Not("needs containerd")),
    row(
        42,
        "all",
        "the agent before, the plugin before",
        Partly(node::original_agent, "an agent without our extensions; there is no version before this one"),
    ),
];

const BEGIN: &str = "<!-- rows: written by cni/tests/checklist -->\n";
const END: &str = "<!-- end of rows -->\n";

fn table() -> String {
    let mut table = String::from("| | verb | asked | shown |\n|---|---|---|---|\n");
    for Row { number, verb, asks, proof } in &ROWS {
        let shown = match proof {
            Here(_) => "holds".to_owned(),
            Partly(_, rest) | With(_, _, rest) => format!("holds; {rest}"),
            Not(why) => format!("not shown: {why}"),
        };
        let _ = writeln!(table, "| {number} | {verb} | {asks} | {shown} |");
    }
    table
}

#[test]
fn every_row_of_the_checklist_holds() {
    let _alone = bed::alone();
    if !bed::can_run("the checklist of CNI") {
        return;
    }
    // `TERWAY_ROWS=39,40` proves these alone.
    let only = std::env::var("TERWAY_ROWS").unwrap_or_default();
    let chosen = |number: u32| only.is_empty() || only.split(',').any(|it| it == number.to_string());
    let mut failed = Vec::new();
    for Row { number, verb, asks, proof } in ROWS.iter().filter(|row| chosen(row.number)) {
        let prove = match proof {
            Here(prove) | Partly(prove, _) => prove,
            Not(why) => {
                bed::say(&format!("NOT SHOWN {number} {verb}: {asks}: {why}"));
                continue;
            }
            With(missing, prove, _) => match missing() {
                Ok(()) => prove,
                Err(why) => {
                    bed::say(&format!("SKIPPED {number} {verb}: {asks}: {why}"));
                    continue;
                }
            },
        };
        let started = tokio::time::Instant::now();
        let held = catch_unwind(AssertUnwindSafe(prove)).is_ok();
        println!(
            "{} {number} {verb}: {asks} ({} ms)",
            if held { "holds" } else { "FAILED" },
            started.elapsed().as_millis()
        );
        if !held {
            failed.push(format!("{number} {verb}: {asks}"));
        }
    }
    assert!(failed.is_empty(), "rows that do not hold, each with its panic above:\n{}", failed.join("\n"));
}

#[test]
fn the_documents_table_is_that_of_the_rows() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cni.md");
    let document = std::fs::read_to_string(path).expect("docs/cni.md is there");
    let (before, rest) = document.split_once(BEGIN).expect("the table has a begin");
    let (found, after) = rest.split_once(END).expect("the table has an end");
    if std::env::var_os("TERWAY_BLESS").is_some() {
        std::fs::write(path, [before, BEGIN, &table(), END, after].concat()).expect("written");
        return;
    }
    assert_eq!(found, table(), "docs/cni.md is stale; TERWAY_BLESS=1 writes it");
}
