//! The wire profile: the same run, over a simulated network that carries real HTTP.
//!
//! Each failure domain is a host of its own, with a runtime and a clock of its own: every zone, the cloud's
//! endpoint, the API server, the control plane. Agents are tasks in their zone, and everything that they
//! say to the cloud and the API server crosses the network by the clients that ship. What the network does
//! to it (cut off, half open, slow) is real to them: connections hang, time out and are made anew.
//!
//! - `net`: the network itself; the one place that knows its crate.
//! - `hosts`: what runs on which host.
//! - `link`: what is wrong between a zone and the cloud.
//!
//! The instance's metadata is served within each zone, since it comes from the machine that an instance
//! runs on and not over the network. Kubelets and oracles stand outside, as in the fleet profile.

mod hosts;
pub mod link;
pub mod net;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use terway_chaos::draw;

use self::hosts::{Stage, Wire};
use crate::{
    run::{Progress, RunError, RunOutcome, RunSpec, Wall, simulate},
    time,
};

/// Zones that a network of this kind carries: its cost grows with the third power of its hosts.
pub const MOST_ZONES: usize = 16;

/// Runs a scenario over a simulated network. The progress is told about four times per percent.
pub fn run(spec: &RunSpec, progress: &mut dyn FnMut(Progress)) -> Result<RunOutcome, RunError> {
    let wall = Wall::start();
    fastrand::seed(draw::hash(spec.seed, "fastrand", ""));
    let _shared = time::Shared::begin();
    let zones = spec.scenario.zones();
    let stage = Stage::new(&zones);
    let longest = spec.scenario.duration + spec.scenario.settle;
    let mut net = net::Net::new(draw::hash(spec.seed, "network", ""), &spec.scenario.wire, longest);
    let on = Arc::clone(&stage);
    net.host(net::CLOUD, move || hosts::cloud(Arc::clone(&on)));
    let on = Arc::clone(&stage);
    net.host(net::API_SERVER, move || hosts::api_server(Arc::clone(&on)));
    for zone in zones.clone() {
        let on = Arc::clone(&stage);
        net.host(&net::host_of(&zone), move || hosts::zone(Arc::clone(&on), zone.clone()));
    }
    let told: Rc<Cell<Option<Progress>>> = Rc::default();
    let outcome: Rc<RefCell<Option<Result<RunOutcome, RunError>>>> = Rc::default();
    let (tell, ends) = (Rc::clone(&told), Rc::clone(&outcome));
    let (spec, on) = (spec.clone(), Arc::clone(&stage));
    net.ends_with(net::CONTROL_PLANE, async move {
        on.raised(zones.len()).await;
        let profile = Arc::new(Wire::new(Arc::clone(&on), &spec.scenario.wire));
        let result = simulate(&spec, profile, &mut |progress| tell.set(Some(progress)), &wall).await;
        on.end();
        *ends.borrow_mut() = Some(result);
    });
    loop {
        net.apply(&stage.changes());
        let over = net.step().map_err(|error| RunError::Setup(format!("the network broke: {error}")))?;
        if let Some(told) = told.take() {
            progress(told);
        }
        if over {
            break;
        }
    }
    drop(net);
    outcome.take().unwrap_or_else(|| Err(RunError::Setup("the run ended without an outcome".to_owned())))
}
