//! The one task that owns the compiler.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use terway_core::probe::pass;
use terway_policy::{
    compile::{Compiler, EndpointSpec, Options, Publication},
    layout::{
        Addr, CONTROL_TRACK, CidrKey, Control, ENDPOINT_LOCKED, Endpoint, Event, LAYOUT, PeerKey, addr_of,
        is_v4,
    },
    manifest::Object,
    model::{Name, Pod},
    op::Op,
    port::{Keep, Left, MapsError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    Phase, Place, Policy, PolicyPorts, PolicySettings,
    describe::describe,
    feed::{Input, Kind},
};

/// Changes that are taken together when they come faster than they can be published. One at a time is exact: see the
/// order of writes in `terway_policy::compile`.
const BATCH: usize = 256;

struct Engine<'a> {
    policy: &'a Policy,
    ports: &'a PolicyPorts,
    settings: &'a PolicySettings,
    places: &'a mut BTreeMap<u32, Place>,
    compiler: Compiler,
    view: u32,
    left: Left,
    listed: BTreeSet<Kind>,
    /// UIDs of pods, as the API server has them.
    uids: BTreeMap<Name, String>,
    /// `ENDPOINT_*` that pods ask for by annotations; most ask for none.
    flags: BTreeMap<Name, u32>,
    /// Whether everything has been in force once under this engine.
    serves: bool,
    /// Whether policies have changed, and so what there is to say of them.
    changed: bool,
    /// Since when a change of policy waits to be in force.
    waiting: Option<Instant>,
}

/// Runs until the channel ends (`None`) or the maps do not take what is wanted (why).
pub(super) async fn run(
    policy: &Policy,
    ports: &PolicyPorts,
    settings: &PolicySettings,
    places: &mut BTreeMap<u32, Place>,
    from: &mut mpsc::Receiver<Input>,
) -> Option<String> {
    let left = match ports.maps.left() {
        Ok(left) => left,
        Err(error) => return Some(error.to_string()),
    };
    let view = left.next_view();
    let options = Options {
        limits: ports.maps.limits(),
        view,
        node_rules: settings.node_rules.clone(),
        epoch: left.epoch(),
    };
    let compiler = Compiler::new(options);
    let mut engine = Engine {
        policy,
        ports,
        settings,
        places,
        compiler,
        view,
        left,
        listed: BTreeSet::new(),
        uids: BTreeMap::new(),
        flags: BTreeMap::new(),
        serves: false,
        changed: true,
        waiting: None,
    };
    engine.run(from).await.err()
}

/// Serves endpoints alone for a while, each locked: what cannot be published is not guessed at.
pub(super) async fn rest(
    ports: &PolicyPorts,
    before: mpsc::Receiver<Input>,
    mut from: mpsc::Receiver<Input>,
    places: &mut BTreeMap<u32, Place>,
    during: Duration,
) -> mpsc::Receiver<Input> {
    let mut before = before;
    before.close();
    let until = Instant::now() + during;
    loop {
        // What was sent to the one that ended is answered first.
        let input = match before.try_recv() {
            Ok(input) => input,
            Err(_) => match timeout_at(until, from.recv()).await {
                Ok(Some(input)) => input,
                Ok(None) | Err(_) => return from,
            },
        };
        match input {
            Input::Bind { place, done } => {
                if write(ports, &[Op::Endpoint(place.link, Some(locked(&place)))]).is_ok() {
                    places.insert(place.link, place);
                    done.send(()).unwrap_or(());
                }
            }
            Input::Unbind { link } => {
                places.remove(&link);
                if let Err(error) = write(ports, &[Op::Endpoint(link, None)]) {
                    tracing::warn!(link, "{error}; the endpoint stays until the next start");
                }
            }
            // Without words: nobody waits for them for long.
            Input::Describe { done, .. } => done.send(Vec::new()).unwrap_or_default(),
            Input::Set { .. } | Input::Gone(..) | Input::Listed(_) => {}
        }
    }
}

fn write(ports: &PolicyPorts, ops: &[Op]) -> Result<(), String> {
    ports.maps.write(ops).map_err(|error: MapsError| error.to_string())
}

/// An endpoint whose policy is not known.
fn locked(place: &Place) -> Endpoint {
    let mut endpoint = Endpoint { flags: place.flags | ENDPOINT_LOCKED, ..Endpoint::default() };
    for ip in &place.ips {
        let addr = addr_of(*ip);
        if is_v4(&addr) {
            endpoint.v4 = addr;
        } else {
            endpoint.v6 = addr;
        }
    }
    endpoint
}

impl Engine<'_> {
    async fn run(&mut self, from: &mut mpsc::Receiver<Input>) -> Result<(), String> {
        self.write_control()?;
        self.write_hosts()?;
        for place in self.places.values().cloned().collect::<Vec<_>>() {
            self.lock_unless_known(&place)?;
            self.place(&place);
        }
        let mut batch = Vec::new();
        while from.recv_many(&mut batch, BATCH).await > 0 {
            let mut answers = Vec::new();
            for input in batch.drain(..) {
                // A policy is published by itself, so that its change is exact.
                let alone = matches!(
                    &input,
                    Input::Set { object: Object::Policy(_) | Object::ClusterPolicy(_), .. }
                        | Input::Gone(Kind::Policy | Kind::ClusterPolicy, _)
                );
                if alone && self.is_loaded() {
                    self.publish(&mut answers).await?;
                    self.waiting = Some(Instant::now());
                    self.changed = true;
                }
                self.take(input, &mut answers)?;
                if alone && self.is_loaded() {
                    self.publish(&mut answers).await?;
                }
            }
            if self.is_loaded() {
                self.publish(&mut answers).await?;
            }
        }
        Ok(())
    }

    fn is_loaded(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    fn take(&mut self, input: Input, answers: &mut Vec<oneshot::Sender<()>>) -> Result<(), String> {
        match input {
            Input::Set { object: Object::Namespace(namespace), .. } => {
                self.compiler.set_namespace(&namespace);
            }
            Input::Set { object: Object::Policy(policy), .. } => {
                let known = terway_core::bug!(self.ports.probe, LostEdit) && self.is_loaded();
                if !known {
                    self.compiler.set_policy(&policy);
                }
            }
            Input::Set { object: Object::ClusterPolicy(policy), .. } => {
                self.compiler.set_cluster_policy(&policy);
            }
            Input::Set { object: Object::Pod(mut pod), flags } => {
                if terway_core::bug!(self.ports.probe, StaleLabels) && self.uids.contains_key(&pod.name) {
                    return Ok(());
                }
                // Of every pod: most are seen before they get a place here.
                self.uids.insert(pod.name.clone(), pod.uid.clone());
                if flags == 0 {
                    self.flags.remove(&pod.name);
                } else {
                    self.flags.insert(pod.name.clone(), flags);
                }
                self.recognise(&pod);
                let own: Vec<Place> =
                    self.places.values().filter(|place| place.pod == pod.name).cloned().collect();
                // Its node gives the address, and knows it before the API server does.
                for ip in own.iter().filter(|place| is_of(place, &pod.uid)).flat_map(|place| &place.ips) {
                    if !pod.ips.contains(ip) {
                        pod.ips.push(*ip);
                    }
                }
                self.compiler.set_pod(&pod);
                for place in &own {
                    self.place(place);
                }
            }
            Input::Set { object: Object::Other { .. }, .. } => {}
            Input::Gone(Kind::Namespace, name) => self.compiler.remove_namespace(&name.name),
            Input::Gone(Kind::Policy, name) => self.compiler.remove_policy(&name),
            Input::Gone(Kind::ClusterPolicy, name) => self.compiler.remove_cluster_policy(&name.name),
            Input::Gone(Kind::Pod, name) => {
                self.uids.remove(&name);
                self.flags.remove(&name);
                self.compiler.remove_pod(&name);
            }
            Input::Listed(kind) => {
                if self.listed.insert(kind) && self.is_loaded() {
                    tracing::info!("everything that policies depend on has been seen");
                }
            }
            Input::Bind { place, done } => {
                self.places.insert(place.link, place.clone());
                let unseen = !self.uids.contains_key(&place.pod);
                if unseen && terway_core::bug!(self.ports.probe, OpenStart) {
                    let open = Endpoint { flags: place.flags, ..locked(&place) };
                    write(self.ports, &[Op::Endpoint(place.link, Some(open))])?;
                    done.send(()).unwrap_or(());
                } else if self.is_loaded() {
                    self.place(&place);
                    answers.push(done);
                } else {
                    self.lock_unless_known(&place)?;
                    self.place(&place);
                    done.send(()).unwrap_or(());
                }
            }
            Input::Describe { events, done } => {
                let told = |event: &Event| describe(&self.compiler, self.places.get(&event.endpoint), event);
                // Whoever asked may have gone.
                let _ = done.send(events.iter().map(told).collect());
            }
            Input::Unbind { link } => {
                self.places.remove(&link);
                self.compiler.remove_endpoint(link);
                if !self.is_loaded() {
                    self.left.endpoints.remove(&link);
                    write(self.ports, &[Op::Endpoint(link, None)])?;
                }
            }
        }
        Ok(())
    }

    /// A sandbox that was found in the kernel alone is told by its address whose it is.
    fn recognise(&mut self, pod: &Pod) {
        if pod.finished || pod.host_network {
            return;
        }
        let nameless = self.places.values_mut().filter(|place| place.pod.namespace.is_empty());
        for place in nameless.filter(|place| place.ips.iter().any(|ip| pod.ips.contains(ip))) {
            place.pod = pod.name.clone();
            place.uid.clone_from(&pod.uid);
        }
    }

    /// Tells the compiler of a place. One of another pod of that name stays locked: its policies are not this pod's.
    fn place(&mut self, place: &Place) {
        let mut pod = place.pod.clone();
        if self.uids.get(&pod).is_some_and(|uid| !is_of(place, uid)) {
            // No object can have such a name.
            pod.name = format!("{}#{}", pod.name, place.uid);
        }
        let asked = self.flags.get(&pod).copied().unwrap_or_default();
        let spec = EndpointSpec { pod, ips: place.ips.clone(), flags: place.flags | asked };
        self.compiler.set_endpoint(place.link, spec);
    }

    /// Until everything has been seen: what a predecessor wrote for the same addresses stays, all else is locked.
    fn lock_unless_known(&mut self, place: &Place) -> Result<(), String> {
        let wanted = locked(place);
        let known = self.left.endpoints.get(&place.link);
        if known.is_some_and(|known| known.v4 == wanted.v4 && known.v6 == wanted.v6) {
            return Ok(());
        }
        write(self.ports, &[Op::Endpoint(place.link, Some(wanted))])
    }

    async fn publish(&mut self, answers: &mut Vec<oneshot::Sender<()>>) -> Result<(), String> {
        let publication = self.compiler.publish().map_err(|full| full.to_string())?;
        let Publication { phases } = publication;
        let writes: usize = phases.iter().map(Vec::len).sum();
        tracing::debug!(
            writes,
            phases = phases.len(),
            rule_sets = self.compiler.rule_sets(),
            "policy is written"
        );
        let mut phases = phases.into_iter();
        if let Some(first) = phases.next().filter(|first| !first.is_empty()) {
            pass(&*self.ports.probe, "policy.publish.step-a").await;
            write(self.ports, &first)?;
            pass(&*self.ports.probe, "policy.publish.step-b").await;
        }
        let first_time = !std::mem::replace(&mut self.serves, true);
        for done in answers.drain(..) {
            done.send(()).unwrap_or(());
        }
        for phase in phases {
            self.ports.maps.settle().await;
            pass(&*self.ports.probe, "policy.publish.step-c").await;
            write(self.ports, &phase)?;
        }
        if let Some(since) = self.waiting.take() {
            self.ports.meter.synced(since.elapsed());
        }
        if first_time {
            pass(&*self.ports.probe, "policy.publish.step-d").await;
            self.ports.maps.publish().map_err(|error| error.to_string())?;
            self.ports.maps.settle().await;
            let keep = Keep {
                view: self.view,
                links: self.places.keys().copied().collect(),
                hosts: self.hosts().collect(),
                services: self.services().collect(),
            };
            self.ports.maps.keep_only(&keep).map_err(|error| error.to_string())?;
        }
        let problems = std::mem::take(&mut self.changed)
            .then(|| self.compiler.problems().map(|(name, text)| (name, text.to_owned())).collect());
        self.policy.set_status(|status| {
            status.phase = Phase::Serving;
            status.published += 1;
            status.rule_sets = self.compiler.rule_sets();
            status.usage = self.compiler.usage().to_vec();
            if let Some(problems) = problems {
                status.problems = problems;
            }
        });
        self.policy.served.send_if_modified(|served| !std::mem::replace(served, true));
        Ok(())
    }

    fn write_control(&self) -> Result<(), String> {
        // Flows are tracked before there is any policy: when the first one comes, it is known who opened them.
        let control = Control {
            layout: LAYOUT,
            flags: self.settings.flags | CONTROL_TRACK,
            hz: self.settings.hz,
            sample: self.settings.sample,
            pending_mark: self.settings.pending_mark,
            event_rate: self.settings.event_rate,
        };
        write(self.ports, &[Op::Control(control)])
    }

    fn hosts(&self) -> impl Iterator<Item = Addr> {
        self.settings.node_ips.iter().map(|ip| addr_of(*ip))
    }

    /// Ranges of services, as lengths of prefixes of sixteen bytes and their addresses.
    fn services(&self) -> impl Iterator<Item = (u32, Addr)> {
        self.settings.services.iter().map(|range| {
            let before = if range.addr().is_ipv4() { 96 } else { 0 };
            (before + u32::from(range.prefix_len()), addr_of(range.network()))
        })
    }

    fn write_hosts(&self) -> Result<(), String> {
        let hosts = self.hosts().map(|addr| Op::Host(addr, Some(1)));
        let services = self.services().map(|(bits, addr)| {
            Op::Service(CidrKey { bits: 32 + bits, key: PeerKey { view: 0, addr } }, Some(1))
        });
        let ops: Vec<Op> = hosts.chain(services).collect();
        write(self.ports, &ops)
    }
}

fn is_of(place: &Place, uid: &str) -> bool {
    place.uid.is_empty() || place.uid == uid
}
