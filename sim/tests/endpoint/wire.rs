//! The endpoint in a simulated network: what it answers, and when, depends on the seed alone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use terway_core::time::Clock as _;
use terway_sim::{
    cloud::{CloudModel, FakeCloud},
    endpoint::{
        Endpoint, Keys,
        serve::serve,
        topology::{self, Topology},
    },
    ports::SimClock,
    root,
};

use super::client::{ECS, Signer, date, whole};

type Transcript = Arc<Mutex<Vec<(Duration, u16, Bytes)>>>;

/// A client creates and describes in a cloud with real latencies; what it saw, and at which instants.
fn transcript(seed: u64) -> Vec<(Duration, u16, Bytes)> {
    let mut sim = turmoil::Builder::new().rng_seed(seed).simulation_duration(Duration::from_secs(60)).build();
    sim.host("cloud", move || async move {
        let topology = Topology::parse(topology::DEFAULT, CloudModel::default()).expect("right");
        let cloud = FakeCloud::new(topology.model.clone(), seed);
        topology.build(&cloud).expect("it can be built");
        let clock = SimClock::new(tokio::time::Instant::now());
        let endpoint = Endpoint::new(cloud, Keys::new(seed, None), clock);
        let listener = turmoil::net::TcpListener::bind("0.0.0.0:80").await?;
        serve(listener, move |request| {
            let endpoint = Arc::clone(&endpoint);
            async move { endpoint.openapi(request).await }
        })
        .await;
        Ok(())
    });
    let transcript = Transcript::default();
    let seen = Arc::clone(&transcript);
    sim.client("node", async move {
        let clock = SimClock::new(tokio::time::Instant::now());
        let stream = turmoil::net::TcpStream::connect("cloud:80").await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        root::spawn(async move {
            let _ended = connection.await;
        });
        let started = tokio::time::Instant::now();
        for step in 0..6 {
            let signer = Signer {
                method: http::Method::POST,
                key: Keys::new(seed, None).operator().clone(),
                host: "cloud".to_owned(),
                date: date(clock.now()),
                nonce: format!("{step}"),
                hash: None,
                unsigned: None,
                body: String::new(),
                more: Vec::new(),
            };
            let request = if step % 2 == 0 {
                let create =
                    [("RegionId", "cn-sim"), ("SecurityGroupId", "sg-sim"), ("VSwitchId", "vsw-sim-a")];
                signer.request(ECS, "CreateNetworkInterface", &create)
            } else {
                signer.request(ECS, "DescribeNetworkInterfaces", &[("RegionId", "cn-sim")])
            };
            let answer = whole(sender.send_request(request.map(Full::new)).await?).await?;
            let line = (started.elapsed(), answer.status().as_u16(), answer.into_body());
            seen.lock().expect("one task").push(line);
        }
        Ok(())
    });
    sim.run().expect("the client comes to its end");
    std::mem::take(&mut transcript.lock().expect("one task"))
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_instants() {
    let first = transcript(3);
    assert_eq!(first.len(), 6);
    assert!(first.iter().all(|(_, status, _)| *status == 200), "{first:?}");
    assert!(first[0].0 > Duration::from_millis(400), "real latencies: {:?}", first[0].0);
    assert_eq!(first, transcript(3));
    assert_ne!(first, transcript(4));
}
