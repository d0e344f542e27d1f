//! Third way: the real client across a simulated network that is cut, half open and slow by turns.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use async_trait::async_trait;
use terway_chaos::FaultKind;
use terway_cloud::http::hyper_over;
use terway_conformance::{Case, Cloud, Lever, Persistent, Rig, cases};
use terway_sim::{
    cloud::FakeCloud,
    endpoint::{Endpoint, Keys, serve::serve},
    ports::{SimClock, SimEntropy},
    scenario::WireModel,
    time,
    wire::{
        link::Link,
        net::{self, Connector, Net, OfTheWorld},
    },
};

use super::{client::client, rig};

/// Longest run of a case, in simulated time.
const LONGEST: Duration = Duration::from_hours(2);
/// How long the client waits for an answer; longer than any call takes that is answered.
const PATIENCE: Duration = Duration::from_secs(4);
const ZONE: &str = "here";

struct OverTheWire {
    cloud: Arc<FakeCloud>,
    bare: Arc<dyn Cloud>,
    patient: Arc<Persistent>,
}

#[async_trait]
impl Rig for OverTheWire {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.patient.clone()
    }

    fn bare(&self) -> Arc<dyn Cloud> {
        Arc::clone(&self.bare)
    }

    async fn pull(&self, lever: Lever) {
        rig::pull(&self.cloud, lever);
    }

    fn settles(&self) -> Duration {
        // Route entries take up to ten seconds.
        Duration::from_secs(12)
    }
}

/// What is wrong with the network in each minute.
fn weather(elapsed: Duration) -> Link {
    let mut link = Link::default();
    let kind = match elapsed.as_secs() % 60 {
        3..5 | 26..31 => FaultKind::CutOff,
        8..11 | 40..46 => FaultKind::HalfOpen,
        14..20 | 50..58 => FaultKind::SlowLink { lag: Duration::from_millis(700) },
        _ => return link,
    };
    link.change(&kind, true);
    link
}

/// Runs a case; returns how many calls had to be made again.
fn run_case(case: Case) -> u64 {
    let _shared = time::Shared::begin();
    let mut net = Net::new(7, &WireModel::default(), LONGEST);
    let keys = || Keys::new(7, None);
    // The control plane's host comes last, so that the server listens before the case begins.
    let made: Rc<RefCell<Option<Arc<FakeCloud>>>> = Rc::default();
    let serves = Rc::clone(&made);
    net.host(net::CLOUD, move || {
        let serves = Rc::clone(&serves);
        async move {
            let cloud = rig::build(rig::unhurried(), 7);
            *serves.borrow_mut() = Some(Arc::clone(&cloud));
            let endpoint = Endpoint::new(cloud, keys(), SimClock::new(time::now()));
            let answer = move |request| {
                let endpoint = Arc::clone(&endpoint);
                async move { endpoint.openapi(request).await }
            };
            serve(net::listen(80).await?, answer).await;
            Ok(())
        }
    });
    let repeated: Rc<RefCell<Option<u64>>> = Rc::default();
    let told = Rc::clone(&repeated);
    net.ends_with(&net::host_of(ZONE), async move {
        let cloud = made.borrow().clone().expect("its host was there first");
        let http = hyper_over(Connector, Arc::new(OfTheWorld));
        let entropy = SimEntropy::new(7, "conformance", 1);
        let clock = SimClock::new(time::now());
        let bare = client(http, "http://cloud", &keys(), clock, entropy, PATIENCE);
        let patient = Arc::new(Persistent::new(Arc::clone(&bare)));
        case(Arc::new(OverTheWire { cloud, bare, patient: patient.clone() })).await;
        *told.borrow_mut() = Some(patient.repeated());
    });
    let mut state = Link::default();
    loop {
        let now = weather(net.elapsed());
        if now != state {
            net.apply(&[(ZONE.to_owned(), now.clone())]);
            state = now;
        }
        if net.step().expect("the case holds") {
            break;
        }
    }
    repeated.take().expect("the case has ended")
}

fn run(case: Case) {
    run_case(case);
}

terway_conformance::suite!(run);

#[test]
fn the_network_swallows_some_of_a_long_cases_calls() {
    assert!(run_case(cases::enis_come_in_pages) >= 3);
}
