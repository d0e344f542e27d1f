//! stopgap
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
use terway_sim::{
    report,
    run::{RunSpec, TextTrace, run},
    scenario::Scenario,
};
fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap();
    let seed = args.next().unwrap().parse().unwrap();
    let mut sets = Vec::new();
    let mut text = TextTrace::Off;
    let mut bug = None;
    for a in args {
        if a == "-t" {
            text = TextTrace::On { node: None, until: None, from: None };
        } else if let Some(n) = a.strip_prefix("-n=") {
            text = TextTrace::On { node: Some(n.to_owned()), until: None, from: None };
        } else if let Some(n) = a.strip_prefix("-b=") {
            bug = Some(n.to_owned());
        } else {
            sets.push(a);
        }
    }
    let scenario =
        Scenario::from_toml(terway_sim::scenario::Builtin::named(&name).unwrap().text, &sets).unwrap();
    let spec = RunSpec { scenario, seed, schedule: None, bug, text, overrides: sets, file: None };
    let out = run(&spec, &mut |p| eprintln!("{:?}", p)).unwrap();
    println!("{}", report::text(&out.figures));
    for p in out.pending.iter().take(20) {
        println!("pending: {p}");
    }
}
