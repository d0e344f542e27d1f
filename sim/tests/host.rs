//! The simulator's model of a kernel against the suite that the real one passes too.

use std::{io, sync::Arc};

use terway_core::{
    host::{HostNet, PodNet},
    id::{ContainerId, Mac},
};
use terway_dataplane::{op::NetOp, state::Side};
use terway_host_conformance::{CASES, Machine};
use terway_sim::host::SimHost;

struct Simulated(Arc<SimHost>);

impl Machine for Simulated {
    fn net(&self) -> &dyn HostNet {
        &*self.0
    }
    fn plug(&self, mac: Mac) {
        self.0.plug(mac);
    }
    fn unplug(&self, mac: Mac) {
        self.0.unplug(mac);
    }
    fn add_pod(&self, pod: &PodNet) -> io::Result<()> {
        self.0.add_pod(pod)
    }
    fn remove_sandbox(&self, container: &ContainerId) {
        self.0.remove_sandbox(container);
    }
    fn tamper(&self, op: &NetOp) -> io::Result<()> {
        self.0.tamper(op)
    }
    fn host(&self) -> Side {
        self.0.look(|kernel| Side { sysctls: std::collections::BTreeMap::new(), ..kernel.host().clone() })
    }
}

#[test]
fn the_model_of_a_kernel_does_what_a_kernel_does() {
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let outcome = std::panic::catch_unwind(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.expect("a runtime").block_on(async {
                case(&Simulated(SimHost::new(1, "node", Mac([0, 0x16, 0x3e, 0, 0, 1])))).await;
            });
        });
        println!("{name}: {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
