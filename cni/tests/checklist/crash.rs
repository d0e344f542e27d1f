//! The plugin is killed at each system call that an ADD makes, and the runtime then deletes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::bed::{self, Bed, Netns, Sandbox, can_run, say};

/// Name and ordinal of each system call in a trace, from the first of that name on: before it nothing has been done.
/// Ordinals are per thread and name, as strace's `when` counts.
fn calls(trace: &Path, first: &str) -> BTreeSet<(String, usize)> {
    let trace = std::fs::read_to_string(trace).expect("traced");
    let mut counts = BTreeMap::new();
    let mut calls = BTreeSet::new();
    let mut begun = false;
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = counts.entry((thread.to_owned(), name.to_owned())).or_insert(0_usize);
        *count += 1;
        begun |= name == first;
        if begun {
            calls.insert((name.to_owned(), *count));
        }
    }
    calls
}

/// A DEL that is killed anywhere, it or its helper, is finished by the next.
#[test]
fn a_del_killed_at_each_system_call_is_finished_by_the_next_one() {
    let _alone = bed::alone();
    if !can_run("DEL killed at each system call") {
        return;
    }
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    let trace = bed.dir.path().join("trace");
    let file = trace.display().to_string();
    let config = bed.after(&bed.add(&sandbox));
    let outcome = bed.traced_with(&["-f", "-o", &file], "DEL", &sandbox, &config);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(bed.residue(), clean, "nothing is left to wait for");
    let calls = calls(&trace, "flock");
    assert!(calls.len() > 30, "a DEL makes more calls: {calls:?}");
    let mut killed = 0;
    for (name, ordinal) in &calls {
        let config = bed.after(&bed.add(&sandbox));
        let kill = format!("inject={name}:signal=KILL:when={ordinal}");
        let outcome = bed.traced_with(&["-f", "-o", &file, "-e", &kill], "DEL", &sandbox, &config);
        // It or its helper: which of them makes how many calls is the scheduler's.
        let trace = std::fs::read_to_string(&trace).expect("traced");
        killed += usize::from(trace.contains("killed by SIGKILL"));
        if outcome.code == 0 {
            assert_eq!(bed.residue(), clean, "a success is one, with the helper killed at {name} {ordinal}");
        }
        bed.verb("DEL", &sandbox, &config).silent().expect("deleted");
        assert_eq!(bed.residue(), clean, "after a kill at {name} {ordinal}");
        assert!(!pod.run("ip -br link").contains("eth0"), "after a kill at {name} {ordinal}");
        assert!(bed.agent().state().records.is_empty(), "after a kill at {name} {ordinal}");
    }
    say(&format!("DEL killed at {killed} of {} system calls", calls.len()));
    assert!(killed * 10 > calls.len() * 9, "the kills do not hit: {killed} of {}", calls.len());
}

#[test]
fn a_del_whose_helper_cannot_be_started_removes_the_pair_by_itself() {
    let _alone = bed::alone();
    if !can_run("DEL without its helper") {
        return;
    }
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    let config = bed.after(&bed.add(&sandbox));
    let file = bed.dir.path().join("trace").display().to_string();
    let refuse = "inject=clone,clone3,vfork,fork:error=EAGAIN";
    bed.traced_with(&["-f", "-o", &file, "-e", refuse], "DEL", &sandbox, &config).silent().expect("deleted");
    let trace = std::fs::read_to_string(&file).expect("traced");
    assert!(trace.contains("(INJECTED)"), "{trace}");
    assert_eq!(bed.residue(), clean);
    assert!(bed.agent().state().records.is_empty());
}

pub(crate) fn at_each_call() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let (sandbox, clean) = (Sandbox::new("web", "c1", &pod.path()), bed.residue());
    let trace = bed.dir.path().join("trace");
    let file = trace.display().to_string();
    let outcome = bed.traced(&["-f", "-o", &file], "ADD", &sandbox);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    bed.verb("DEL", &sandbox, &bed.config()).silent().expect("deleted");
    // From where the agent is first spoken to.
    let calls = calls(&trace, "connect");
    assert!(calls.len() > 30, "an ADD makes more calls: {calls:?}");
    let mut killed = 0;
    for (name, ordinal) in &calls {
        let kill = format!("inject={name}:signal=KILL:when={ordinal}");
        let outcome = bed.traced(&["-f", "-o", &file, "-e", &kill], "ADD", &sandbox);
        killed += usize::from(outcome.code != 0);
        bed.verb("DEL", &sandbox, &bed.config()).silent().expect("deleted");
        assert_eq!(bed.residue(), clean, "after a kill at {name} {ordinal}");
        assert!(!pod.run("ip -br link").contains("eth0"), "after a kill at {name} {ordinal}");
        assert!(bed.agent().state().records.is_empty(), "after a kill at {name} {ordinal}");
    }
    say(&format!("killed at {killed} of {} system calls", calls.len()));
    assert!(killed * 10 > calls.len() * 9, "the kills do not hit: {killed} of {}", calls.len());
}
