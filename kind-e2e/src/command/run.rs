//! `run`: a scenario on a cluster of its own, and beside it in the simulator.

use std::{path::Path, process::ExitCode};

use serde_json::json;
use terway_e2e::{
    cluster::Cluster,
    play::{self, Played},
    programs::Programs,
};
use terway_sim::{run::NodeEnd, scenario::Scenario};
use tokio::signal::ctrl_c;

use super::{Which, failure::Failure, print, runtime};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A built-in scenario of terway-sim, or a file
    #[arg(value_name = "NAME|FILE.toml")]
    scenario: String,
    /// Seed of the faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Change any value: --set agent.min_pool_size=4 (repeatable)
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Do not run it in the simulator, and compare nothing
    #[arg(long)]
    alone: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// Plays it; done when both ended with the same pods, addresses in use, idle addresses and ENIs.
pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let bad = |error: String| Failure::input(error);
    let scenario = if Path::new(&args.scenario).extension().is_some_and(|it| it == "toml") {
        let text = std::fs::read_to_string(&args.scenario)
            .map_err(|error| bad(format!("`{}` cannot be read: {error}", args.scenario)))?;
        Scenario::from_toml(&text, &args.set)
    } else {
        terway_sim::scenario::Builtin::named(&args.scenario)
            .and_then(|built_in| Scenario::from_toml(built_in.text, &args.set))
    };
    let scenario = scenario.map_err(|error| bad(error.to_string()))?;
    let spec = play::spec_of(&scenario, &args.which.name).map_err(|error| bad(error.to_string()))?;
    let own = std::env::current_exe().map_err(|error| bad(error.to_string()))?;
    let programs = Programs::find(&own, |name| std::env::var_os(name).map(Into::into))
        .map_err(|error| bad(error.to_string()))?;
    let simulated = if args.alone {
        None
    } else {
        let outcome = play::simulate(&scenario, args.seed).map_err(|error| bad(error.to_string()))?;
        Some(outcome.ends)
    };
    print::err(&format!(
        "playing `{}` on {} nodes for {} s",
        scenario.name,
        scenario.nodes,
        scenario.duration.as_secs()
    ));
    let played = runtime()?.block_on(async {
        let failed = |error: String| Failure::failed(error);
        let cluster = Cluster::start(spec, Some(programs)).await.map_err(|error| failed(error.to_string()))?;
        let outcome = tokio::select! {
            biased;
            _ = ctrl_c() => Err(failed("interrupted".into())),
            played = play::play(&cluster, &scenario, args.seed) => played.map_err(|error| failed(error.to_string())),
        };
        cluster.down().await.map_err(|error| failed(error.to_string()))?;
        outcome
    })?;
    let same = simulated.as_ref().is_none_or(|ends| *ends == played.ends);
    print::out(&if args.json {
        as_json(&played, simulated.as_deref(), same)
    } else {
        as_text(&played, simulated.as_deref(), same)
    });
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(played: &Played, simulated: Option<&[NodeEnd]>, same: bool) -> String {
    let document = json!({
        "kernel": played.ends,
        "simulator": simulated,
        "same": simulated.map(|_| same),
        "faults": played.faults,
        "faults_left_out": played.left_out,
    });
    print::json(&document)
}

fn as_text(played: &Played, simulated: Option<&[NodeEnd]>, same: bool) -> String {
    let row = |node: usize, place: &str, end: &NodeEnd| {
        [
            format!("n{}", node + 1),
            place.to_owned(),
            end.pods.len().to_string(),
            end.in_use.to_string(),
            end.idle.to_string(),
            end.enis.to_string(),
        ]
    };
    let mut rows = Vec::new();
    for (node, end) in played.ends.iter().enumerate() {
        rows.push(row(node, "kernel", end));
        rows.extend(simulated.and_then(|ends| ends.get(node)).map(|end| row(node, "simulator", end)));
    }
    let mut out = print::table(["NODE", "RUN IN", "PODS", "IN USE", "IDLE", "ENIS"], &rows);
    let struck = played.faults.iter().map(|fault| format!("struck   {fault}\n"));
    let left_out = played.left_out.iter().map(|fault| format!("left out {fault}\n"));
    out.push('\n');
    out.extend(struck.chain(left_out));
    out.push_str(match (simulated, same) {
        (None, _) => "",
        (Some(_), true) => "\nboth ended alike\n",
        (Some(_), false) => "\nthey did not end alike\n",
    });
    out
}
