//! What a kernel is asked before it is claimed: do the programs load, how much did the verifier walk, do they judge, can
//! they be attached both ways. Run as the only program of a virtual machine by ci/kernels; the last line is the result.

use std::process::ExitCode;

use terway_bpf::{
    Attachment, Error, Hook, Method,
    bed::{Bed, SMALL},
    run::Situation,
};
use terway_policy::layout::{Best, CONTROL_TRACK, Endpoint, RULES_ISOLATED, RULES_READY, RuleSet, mapped};

/// What the verifier may walk. The kernel's own limit is a million; what is above this leaves no room to grow.
const LIMIT: u32 = 250_000;

fn main() -> ExitCode {
    match check() {
        Ok(()) => {
            println!("RESULT passed");
            ExitCode::SUCCESS
        }
        Err(what) => {
            println!("RESULT failed: {what}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<(), String> {
    let say = |error: Error| error.to_string();
    let mut bed = Bed::new(2, SMALL, Method::Best).map_err(say)?.ok_or("not root")?;
    for hook in Hook::ALL {
        let stats = bed.programs.stats(hook).map_err(say)?;
        let verified = stats.verified.map_or("(untold)".into(), |verified| verified.to_string());
        println!("{hook}: {verified} instructions verified");
        if stats.verified.is_some_and(|verified| verified > LIMIT) {
            return Err(format!("{hook} takes the verifier more than {LIMIT} instructions"));
        }
    }
    judges(&mut bed)?;
    let by = bed.programs.attach_pod(bed.links[0]).map_err(say)?;
    println!("attached by {by:?}");
    // A second agent takes over what the first attached, by the other way too.
    bed.reload(SMALL, Method::Best).map_err(say)?;
    let again = bed.programs.attach_pod(bed.links[0]).map_err(say)?;
    if again != by {
        return Err(format!("attached by {by:?} first and by {again:?} then"));
    }
    for hook in Hook::POD {
        bed.programs.detach(hook, bed.links[0]).map_err(say)?;
    }
    bed.reload(SMALL, Method::Clsact).map_err(say)?;
    for _ in 0..2 {
        let by = bed.programs.attach_pod(bed.links[1]).map_err(say)?;
        if by != Attachment::Clsact {
            return Err(format!("attached by {by:?} where clsact was asked for"));
        }
    }
    for hook in Hook::POD {
        bed.programs.detach(hook, bed.links[1]).map_err(say)?;
    }
    Ok(())
}

/// A packet from the pod's own address passes, one from another does not, and one to an isolated pod does not.
fn judges(bed: &mut Bed) -> Result<(), String> {
    let say = |error: Error| error.to_string();
    let tables = bed.programs.tables().map_err(say)?;
    let mut control = tables.control.get(&0).map_err(say)?.ok_or("terway_ctl is empty")?;
    control.flags = CONTROL_TRACK;
    tables.control.put(&0, &control).map_err(say)?;
    println!("{} ticks per second", control.hz);
    let isolated = RuleSet { flags: RULES_ISOLATED | RULES_READY, ports: [0; 4], any: Best::NONE };
    tables.rules.put(&1, &isolated).map_err(say)?;
    let endpoint = Endpoint { rules: [1, 0], v4: mapped([10, 0, 0, 1]), ..Endpoint::default() };
    tables.set_endpoint(bed.links[0], Some(&endpoint)).map_err(say)?;

    let at = Situation { link: bed.links[0], came_by: 9, mark: 0 };
    let cases = [
        ("from the pod", Hook::FromPod, [10, 0, 0, 1], [10, 0, 0, 2], 40_000, true),
        ("its answer", Hook::ToPod, [10, 0, 0, 2], [10, 0, 0, 1], 40_000, true),
        ("from a wrong address", Hook::FromPod, [10, 0, 0, 3], [10, 0, 0, 2], 40_000, false),
        ("to the isolated pod", Hook::ToPod, [10, 0, 0, 2], [10, 0, 0, 1], 41_000, false),
    ];
    for (what, hook, source, destination, port, passes) in cases {
        let ports = if hook == Hook::FromPod { [port, 53] } else { [53, port] };
        let ran = bed.programs.test_run(hook, &udp(source, destination, ports), at, 1).map_err(say)?;
        println!("{what}: {}", if ran.passed { "passed" } else { "dropped" });
        if ran.passed != passes {
            return Err(format!("a packet {what} was judged wrongly: {ran:?}"));
        }
    }
    Ok(())
}

fn udp(source: [u8; 4], destination: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0]);
    frame.extend(source);
    frame.extend(destination);
    for port in ports {
        frame.extend(port.to_be_bytes());
    }
    frame.extend([0, 16, 0, 0]);
    frame.extend([0; 8]);
    frame
}
