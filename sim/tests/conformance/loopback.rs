//! Second way: the real client over loopback HTTP, against the endpoint, in real time.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use terway_cloud::system::{ProcessSpawner, SystemClock, SystemEntropy};
use terway_conformance::{Case, Cloud, Lever, Persistent, Rig};
use terway_sim::{
    cloud::FakeCloud,
    endpoint::{Endpoint, Keys, serve::serve},
    root,
};
use tokio::net::TcpListener;

use super::{client::client, rig};

/// A lost answer ends with its connection, long before this.
const PATIENCE: Duration = Duration::from_secs(5);

struct Loopback {
    cloud: Arc<FakeCloud>,
    client: Arc<dyn Cloud>,
}

#[async_trait]
impl Rig for Loopback {
    fn cloud(&self) -> Arc<dyn Cloud> {
        Arc::new(Persistent::new(self.bare()))
    }

    fn bare(&self) -> Arc<dyn Cloud> {
        Arc::clone(&self.client)
    }

    async fn pull(&self, lever: Lever) {
        rig::pull(&self.cloud, lever);
    }

    fn settles(&self) -> Duration {
        rig::SETTLES
    }
}

fn run(case: Case) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let cloud = rig::build(rig::quick(), 7);
        let clock = Arc::new(SystemClock::new());
        let endpoint = Endpoint::new(Arc::clone(&cloud), Keys::new(7, None), clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("it listens"));
        let keys = Keys::new(7, None);
        root::spawn(serve(listener, move |request| {
            let endpoint = Arc::clone(&endpoint);
            async move { endpoint.openapi(request).await }
        }));
        let http = terway_cloud::http::system(ProcessSpawner::shared()).expect("TLS can be set up");
        let client = client(http, &base, &keys, clock, Arc::new(SystemEntropy), PATIENCE);
        case(Arc::new(Loopback { cloud, client })).await;
    });
}

terway_conformance::suite!(run);
