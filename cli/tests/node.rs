//! `terway-cli policy` on a node: the built program against maps of this machine's kernel, as root, in a namespace of the
//! test's own.

use std::{
    net::IpAddr,
    process::{Command, Output},
    sync::Arc,
};

use terway_bpf::{
    Hook, Method,
    bed::{Bed, SMALL},
    port::KernelMaps,
    run::Situation,
    table::Controls,
};
use terway_core::spawn::{Spawner, Task};
use terway_policy::{
    compile::{Compiler, EndpointSpec, Options},
    craft,
    layout::{CONTROL_TRACK, Control, LAYOUT},
    manifest,
    model::{Name, Snapshot},
    packet::tcp,
    port::PolicyMaps as _,
};

const WEB: [u8; 4] = [10, 0, 1, 20];
const DB: [u8; 4] = [10, 0, 2, 30];

struct Nobody;

impl Spawner for Nobody {
    fn spawn(&self, name: &'static str, _task: Task) {
        unreachable!("nothing here starts a task, least of all {name}");
    }

    fn block(&self, name: &'static str, _work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        unreachable!("nothing here blocks, least of all {name}");
    }
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(folder: &str, arguments: &[&str]) -> Said {
    // In the network namespace of this thread.
    let output = Command::new(env!("CARGO_BIN_EXE_terway-cli"))
        .arg("policy")
        .args(arguments)
        .args(["--bpf-pin-dir", folder])
        .output();
    let Output { status, stdout, stderr } = output.expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: status.code().expect("a code"), out: text(stdout), err: text(stderr) }
}

fn json(folder: &str, arguments: &[&str]) -> serde_json::Value {
    let said = run(folder, &[arguments, &["--json"]].concat());
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    serde_json::from_str(&said.out).expect("JSON")
}

/// A node with two pods of the documentation's example, of which the second has no program on its link yet.
fn node() -> Option<(Bed, String)> {
    let mut bed = Bed::new(2, SMALL, Method::Best).expect("a bed")?;
    let mut snapshot = Snapshot::default();
    for file in ["pods.yaml", "policies.yaml"] {
        let path = format!("{}/../docs/examples/policy/manifests/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the example");
        manifest::read(&text).expect("manifests").into_iter().for_each(|object| snapshot.apply(object));
    }
    snapshot.add_missing_namespaces();
    let maps = KernelMaps::new(bed.programs.tables().expect("the maps"), Arc::new(Nobody));
    let mut compiler = Compiler::new(Options { limits: maps.limits(), ..Options::default() });
    compiler.load(&snapshot);
    for (link, name, ip) in [(bed.links[0], "web-0", WEB), (bed.links[1], "db-0", DB)] {
        let pod = Name::new("shop", name);
        compiler.set_endpoint(link, EndpointSpec { pod, ips: vec![ip.into()], flags: 0 });
    }
    for op in compiler.publish().expect("it fits").ops() {
        maps.write(std::slice::from_ref(op)).expect("the kernel takes it");
    }
    let controls = bed.programs.table::<Controls>().expect("the map");
    let before = controls.get(&0).expect("read").expect("there");
    controls.put(&0, &Control { flags: CONTROL_TRACK, event_rate: 100, ..before }).expect("written");
    bed.programs.attach_pod(bed.links[0]).expect("attached");

    let at = Situation { link: bed.links[0], came_by: 1_000_000, mark: 0 };
    let (web, db): (IpAddr, IpAddr) = (WEB.into(), DB.into());
    let mut judged = |hook, frame: Vec<u8>| bed.programs.test_run(hook, &frame, at, 1).expect("a run").passed;
    assert!(judged(Hook::FromPod, craft::ip(web, db).tcp(4000, 5432, tcp::SYN).frame()));
    assert!(judged(Hook::ToPod, craft::ip(db, web).tcp(5432, 4000, tcp::SYN | tcp::ACK).frame()));
    assert!(!judged(Hook::ToPod, craft::ip(db, web).tcp(4000, 81, tcp::SYN).frame()));
    let folder = bed.options(SMALL, Method::Best).pins.to_str().expect("text").to_owned();
    Some((bed, folder))
}

#[test]
fn status_shows_pods_programs_room_and_what_does_not_fit() {
    let Some((bed, folder)) = node() else { return };
    let said = run(&folder, &["status"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    let [web, db] = [bed.links[0], bed.links[1]];
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = said.out.lines().map(words).collect();
    for line in [
        format!("pins: {folder}"),
        format!("maps: layout {LAYOUT}"),
        "tracking: on: flows are known".into(),
        "metadata: open to pods".into(),
        "flows: 1 (1 established)".into(),
        "LINK INTERFACE ADDRESSES INGRESS EGRESS FLAGS EPOCH PROGRAMS".into(),
        "no-rule 1".into(),
        format!("- host1 (link {db}) has an endpoint, but no program from_pod: nothing is judged there"),
        format!("- host1 (link {db}) has an endpoint, but no program to_pod: nothing is judged there"),
    ] {
        assert!(lines.contains(&line), "{line}\n{}", said.out);
    }
    let row =
        lines.iter().find(|line| line.starts_with(&format!("{web} host0 10.0.1.20 isolated:"))).expect("web");
    assert!(row.ends_with("from_pod tcx,to_pod tcx"), "{row}");
    let map = lines.iter().find(|line| line.starts_with("terway_ep ")).expect("the map");
    assert_eq!(map, "terway_ep 2 1024 <1%");

    let json = json(&folder, &["status"]);
    assert_eq!((&json["maps"], &json["layout"]), (&"current".into(), &LAYOUT.into()));
    assert_eq!(json["settings"]["tracking"], true);
    assert_eq!(json["endpoints"][0]["interface"], "host0");
    assert_eq!(json["endpoints"][0]["ingress"]["isolated"], true);
    assert_eq!(json["problems"][0]["kind"], "no-program");
    assert_eq!(json["drops"][0], serde_json::json!({"reason": "no-rule", "packets": 1}));
    assert_eq!(json["attached"][0]["by"], "tcx");
    assert_eq!(json["flows"]["established"], 1);
}

#[test]
fn a_dump_of_the_node_has_the_numbers_that_the_one_of_policies_has() {
    let Some((bed, folder)) = node() else { return };
    let said = run(&folder, &["dump", "--node", "--endpoint", "10.0.1.20"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    let sets: Vec<_> = said.out.split("\nrule set ").skip(1).collect();
    let [ingress, egress] = &sets[..] else { panic!("{}", said.out) };
    assert!(
        ingress.contains("ingress of host0; isolated\n") && egress.contains("egress of host0; isolated\n")
    );
    let rules = |set: &str| set.lines().skip(1).map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        rules(ingress),
        ["0. allow 10.0.1.10; 8080/TCP", "1. allow 10.0.3.40; 9090/TCP", "else deny  (1 packet, 54 bytes)"]
    );
    assert_eq!(
        rules(egress),
        [
            "0. admin deny 100.100.100.200; everything",
            "1. allow 10.0.3.53; 53/TCP, 53/UDP",
            "2. allow 10.0.2.30; 5432/TCP  (1 packet, 54 bytes)",
            "else deny"
        ]
    );
    let link = bed.links[0].to_string();
    for other in ["host0", link.as_str()] {
        assert_eq!(run(&folder, &["dump", "--node", "--endpoint", other]).out, said.out);
    }
    let json = json(&folder, &["dump", "--node"]);
    assert_eq!(json["endpoints"].as_array().map(Vec::len), Some(2));
    let set = &json["rule_sets"][0];
    assert_eq!((&set["isolated"], &set["used_by"][0]["direction"]), (&true.into(), &"ingress".into()));
    assert_eq!(set["rules"][0]["matches"][0]["ports"], serde_json::json!(["8080/TCP"]));
    assert_eq!(set["unmatched"]["packets"], 1);
    let class = &set["rules"][0]["matches"][0]["classes"][0];
    let classes = json["classes"].as_array().expect("classes");
    let named = classes.iter().find(|named| named["class"] == *class).expect("the class");
    assert_eq!(named["prefixes"], serde_json::json!(["10.0.1.10"]));
}

#[test]
fn flows_are_shown_from_the_pod_s_side() {
    let Some((_bed, folder)) = node() else { return };
    let said = run(&folder, &["flows", "--endpoint", "host0"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    let rows: Vec<Vec<_>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = ["host0", "egress", "TCP", "10.0.1.20:4000", "10.0.2.30:5432", "established", "2"];
    assert_eq!((rows.len(), &rows[1][..7]), (2, &expected[..]), "{}", said.out);
    let json = json(&folder, &["flows"]);
    assert_eq!((&json["total"], &json["flows"][0]["state"]), (&1.into(), &"established".into()));
    assert_eq!(json["flows"][0]["rule"], 2);
}

#[test]
fn what_is_no_endpoint_is_bad_input() {
    let Some((_bed, folder)) = node() else { return };
    for arguments in [
        ["dump", "--node", "--endpoint", "10.9.9.9"],
        ["dump", "--node", "--endpoint", "1"],
        ["flows", "--limit=1", "--endpoint", "host9"],
    ] {
        let said = run(&folder, &arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(said.err.contains("is no endpoint of this node"), "{}", said.err);
    }
}

#[test]
fn nothing_pinned_and_another_layout_are_told_apart() {
    let nothing = "/sys/fs/bpf/terway-none";
    let Some((bed, folder)) = node() else { return };
    let said = run(nothing, &["status"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.out.contains("maps:     none: no policy is enforced from here\n"), "{}", said.out);
    assert!(said.err.starts_with("error: nothing is pinned at /sys/fs/bpf/terway-none"), "{}", said.err);
    let said = run(nothing, &["flows"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
    let newer = Control { layout: LAYOUT + 7, ..Control::default() };
    bed.programs.table::<Controls>().expect("the map").put(&0, &newer).expect("written");
    let says = format!("are of layout {}, and this program reads layout {LAYOUT}", LAYOUT + 7);
    for arguments in [&["status"][..], &["dump", "--node"], &["flows"]] {
        let said = run(&folder, arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.out);
        assert!(said.err.contains(&says), "{arguments:?}: {}", said.err);
    }
    let said = run(&folder, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json["maps"], &json["layout"]), (&"other".into(), &(LAYOUT + 7).into()));
    assert!(said.out.contains("from_pod"), "programs are told all the same");
}
