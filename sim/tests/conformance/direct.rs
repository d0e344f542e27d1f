//! First way: the fake cloud itself, in paused time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use terway_conformance::{Case, Cloud, Lever, Rig, site};
use terway_sim::cloud::FakeCloud;

use super::rig;

struct Direct(Arc<FakeCloud>);

#[async_trait]
impl Rig for Direct {
    fn cloud(&self) -> Arc<dyn Cloud> {
        self.0.client(site::NODE)
    }

    fn bare(&self) -> Arc<dyn Cloud> {
        self.cloud()
    }

    async fn pull(&self, lever: Lever) {
        rig::pull(&self.0, lever);
    }

    fn settles(&self) -> Duration {
        // Route entries take up to ten seconds.
        Duration::from_secs(12)
    }
}

fn run(case: Case) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        case(Arc::new(Direct(rig::build(rig::unhurried(), 7)))).await;
    });
}

terway_conformance::suite!(run);
