//! ADD and DEL from exec to exit: `terway` against `ptp` with `host-local`, and against the kernel's part alone.
//!
//! All take part in the same run, in turn, each on a node of its own made of namespaces, each pod in a fresh one. The
//! agent's side is the services that ship, in another process. `cargo bench --profile sim -p terway-benches --bench cni`
//! as root; `-- --rounds 200 --csv figures.csv` says how often, and where every sample goes. `TERWAY_PLUGIN` and
//! `TERWAY_BARE` name programs that are built already.
//!
//! All of it, the agent too, runs in the real-time class, so that other work on the machine is not measured: whoever
//! waits for another process would else wait for the end of a stranger's time slice. `--shared` leaves it out.

mod agent;
mod build;
mod contest;
mod figures;
mod node;

use std::{path::PathBuf, process::Command, sync::Barrier, thread, time::Duration};

use contest::{Contestant, PEERS, Pod, Setting, Who};
use figures::Figures;
use tokio::time::Instant;

/// How often each is measured, alternating.
const ROUNDS: usize = 100;
/// Pods that are on the node already.
const FULL: usize = 100;
/// Pods that come at once, and how often.
const BURST: usize = 30;
const BURSTS: usize = 7;

struct Options {
    rounds: usize,
    csv: Option<PathBuf>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, socket] = &*args
        && flag == "--agent"
    {
        return agent::serve(socket.as_ref());
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED cni: needs root, to make network namespaces");
        return;
    }
    if !args.iter().any(|arg| arg == "--shared") {
        return alone(&args);
    }
    let after = |flag: &str| args.iter().position(|arg| arg == flag).and_then(|at| args.get(at + 1));
    let options = Options {
        rounds: after("--rounds").map_or(ROUNDS, |text| text.parse().expect("--rounds takes a number")),
        csv: after("--csv").map(PathBuf::from),
    };
    let dir = tempfile::tempdir().expect("a folder");
    let setting = Setting { plugin: build::plugin(), bare: build::bare(), dir: dir.path().into() };
    let mut figures = Figures::default();
    contest(&setting, &options, &mut figures);
    print!("{}", figures.table());
    for pods in [0, FULL] {
        figures.ratio("add", pods, Who::Terway, Who::Ptp, 0.25);
        figures.ratio("del", pods, Who::Terway, Who::Ptp, 0.1);
        figures.ratio("add", pods, Who::Terway, Who::Bare, 1.5);
        figures.ratio("del", pods, Who::Terway, Who::Bare, 1.5);
        figures.ratio("add", pods, Who::TerwayDual, Who::BareDual, 1.5);
    }
    figures.ratio("burst-add", 0, Who::Terway, Who::Ptp, 1.0 / 3.0);
    figures.limit("first-byte", Who::Terway, Duration::from_millis(1));
    if let Some(path) = options.csv {
        std::fs::write(&path, figures.csv()).expect("the file of --csv can be written");
        println!("every sample is in {}", path.display());
    }
}

/// Runs this program once more, before all other work.
fn alone(args: &[String]) {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new("chrt");
    let status = command.args(["--rr", "1"]).arg(program).args(args).arg("--shared").status();
    let status = status.expect("util-linux is there");
    assert!(status.success(), "{command:?}: {status}");
}

fn contest(setting: &Setting, options: &Options, figures: &mut Figures) {
    let mut who = vec![Who::Terway, Who::Bare, Who::TerwayDual, Who::BareDual];
    if std::path::Path::new(PEERS).join("ptp").exists() {
        who.insert(1, Who::Ptp);
    } else {
        println!(
            "SKIPPED cni: no {PEERS}/ptp to compare with; ci/setup installs containernetworking-plugins"
        );
    }
    let contestants: Vec<Contestant<'_>> = who.into_iter().map(|who| Contestant::new(who, setting)).collect();
    let ours = contestants.iter().filter(|it| matches!(it.who, Who::Terway | Who::TerwayDual));
    let _agents: Vec<agent::Running> = ours.map(|it| agent::Running::start(&it.socket())).collect();
    first_byte(&contestants[0], setting, options.rounds, figures);
    let mut number = 0;
    let mut next = || {
        number += 1;
        Pod::new(number)
    };
    alternate(&contestants, 0, options.rounds, &mut next, figures);
    for _ in 0..BURSTS {
        for contestant in contestants.iter().filter(|it| !matches!(it.who, Who::TerwayDual | Who::BareDual)) {
            burst(contestant, (0..BURST).map(|_| next()).collect(), figures);
        }
    }
    let mut pods = Vec::new();
    for contestant in &contestants {
        for _ in 0..FULL {
            let mut pod = next();
            contestant.add(&mut pod);
            pods.push(pod);
        }
    }
    alternate(&contestants, FULL, options.rounds, &mut next, figures);
}

/// One pod each, in turn; who begins changes from round to round.
fn alternate(
    contestants: &[Contestant<'_>],
    there: usize,
    rounds: usize,
    next: &mut impl FnMut() -> Pod,
    figures: &mut Figures,
) {
    // Namespaces are freed together at the end: the kernel works on it for long, in the background.
    let mut gone = Vec::new();
    for round in 0..rounds {
        for turn in 0..contestants.len() {
            let contestant = &contestants[(round + turn) % contestants.len()];
            let mut pod = next();
            figures.note("add", there, contestant.who, contestant.add(&mut pod));
            figures.note("del", there, contestant.who, contestant.del(&pod));
            gone.push(pod);
        }
    }
}

/// Many at once: until the last is done.
fn burst(contestant: &Contestant<'_>, mut pods: Vec<Pod>, figures: &mut Figures) {
    for what in ["burst-add", "burst-del"] {
        let barrier = Barrier::new(pods.len() + 1);
        let took = thread::scope(|scope| {
            let calls: Vec<_> = pods
                .iter_mut()
                .map(|pod| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        if what == "burst-add" { contestant.add(pod) } else { contestant.del(pod) }
                    })
                })
                .collect();
            barrier.wait();
            let started = Instant::now();
            for call in calls {
                call.join().expect("no panic");
            }
            started.elapsed()
        });
        figures.note(what, 0, contestant.who, took);
    }
}

fn first_byte(contestant: &Contestant<'_>, setting: &Setting, rounds: usize, figures: &mut Figures) {
    let listener = std::os::unix::net::UnixListener::bind(setting.dir.join("nobody.socket")).expect("bound");
    let pod = Pod::new(u16::MAX);
    for _ in 0..rounds {
        figures.note("first-byte", 0, contestant.who, contestant.first_byte(&pod, &listener));
    }
}
