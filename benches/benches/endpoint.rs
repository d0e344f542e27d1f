//! Requests per second of the endpoint on one core: signed calls over loopback, served by one thread.
//!
//! The server has a thread of its own, the clients another; requests are signed before the clock starts, so that
//! only serving is measured. The figure that is read against the goal is requests per second of the server thread's
//! own CPU time: on a machine with other work, wall time says less. `cargo bench -p terway-benches --bench endpoint`;
//! `TERWAY_BENCH_SECONDS` says for how long each call is asked (2).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use terway_cloud::sign::{EMPTY_BODY, Signable, canonical_query};
use terway_sim::{
    cloud::{CloudModel, FakeCloud},
    endpoint::{
        Endpoint, Keys,
        serve::serve,
        topology::{self, Topology},
    },
    ports::SimClock,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Signed requests a second that one core shall serve at least.
const GOAL: f64 = 10_000.0;
/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;
/// Requests of one round.
const ROUND: usize = 20_000;

/// What is asked for: name, version, action, parameters.
type Mix = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const MIXES: &[Mix] = &[
    (
        "describe one ENI",
        "2014-05-26",
        "DescribeNetworkInterfaces",
        &[("RegionId", "cn-sim"), ("NetworkInterfaceId.1", "eni-00000001")],
    ),
    ("describe vSwitches", "2016-04-28", "DescribeVSwitches", &[("RegionId", "cn-sim")]),
    (
        "assign by token",
        "2014-05-26",
        "AssignPrivateIpAddresses",
        &[
            ("RegionId", "cn-sim"),
            ("NetworkInterfaceId", "eni-00000003"),
            ("SecondaryPrivateIpAddressCount", "2"),
            ("ClientToken", "0123456789abcdef0123456789abcdef"),
        ],
    ),
];

fn main() {
    let seconds = std::env::var("TERWAY_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let (told, address) = std::sync::mpsc::channel();
    server(told);
    let address: SocketAddr = address.recv().expect("the server says where it listens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for (index, mix) in MIXES.iter().enumerate() {
        runtime.block_on(measure(address, index, mix, Duration::from_secs(seconds)));
    }
}

fn server(told: std::sync::mpsc::Sender<SocketAddr>) {
    std::thread::Builder::new()
        .name("endpoint".to_owned())
        .spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let topology = Topology::parse(topology::DEFAULT, CloudModel::instant()).expect("right");
                let cloud = FakeCloud::new(topology.model.clone(), 1);
                topology.build(&cloud).expect("it can be built");
                let clock = SimClock::new(Instant::now());
                let endpoint = Endpoint::new(cloud, Keys::new(1, None), clock);
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
                told.send(listener.local_addr().expect("bound")).expect("main waits");
                serve(listener, move |request| {
                    let endpoint = Arc::clone(&endpoint);
                    async move { endpoint.openapi(request).await }
                })
                .await;
            });
        })
        .expect("a thread");
}

/// CPU time of the server's thread so far, in seconds.
fn cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    for task in tasks.flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if let Some(fields) = stat.split_once("(endpoint) ").map(|(_, rest)| rest.split(' ')) {
            // utime and stime, in ticks of 10 ms.
            let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
            return ticks as f64 / 100.0;
        }
    }
    0.0
}

async fn measure(address: SocketAddr, index: usize, (name, version, action, params): &Mix, wanted: Duration) {
    let query = canonical_query(params.iter().copied());
    let keys = Keys::new(1, None);
    let (mut served, mut wall, mut used, mut round) = (0, Duration::ZERO, 0.0, 0);
    while wall < wanted {
        // The dates of the simulated clock start where every run does.
        let date =
            jiff::Timestamp::from_second(terway_sim::ports::EPOCH.as_secs().cast_signed()).expect("near");
        let date = date.to_string();
        let sign = |number: usize| {
            let nonce = format!("{index}-{round}-{number}");
            let headers = [
                ("host", "ecs"),
                ("x-acs-action", action),
                ("x-acs-content-sha256", EMPTY_BODY),
                ("x-acs-date", &date),
                ("x-acs-signature-nonce", &nonce),
                ("x-acs-version", version),
            ];
            let signable = Signable {
                method: "POST",
                path: "/",
                query: &query,
                headers: &headers,
                payload_hash: EMPTY_BODY,
            };
            let key = keys.operator();
            let mut request = Request::post(format!("/?{query}"))
                .header("authorization", signable.authorization(&key.id, &key.secret));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.body(Full::<Bytes>::default()).expect("well formed")
        };
        let mut requests: Vec<_> = (0..ROUND).map(sign).collect();
        let (started, before) = (Instant::now(), cpu());
        let clients = (0..CONNECTIONS).map(|_| requests.split_off(requests.len() - ROUND / CONNECTIONS));
        futures::future::join_all(clients.map(|requests| client(address, requests)).collect::<Vec<_>>())
            .await;
        wall += started.elapsed();
        used += cpu() - before;
        served += ROUND;
        round += 1;
    }
    let per_core = served as f64 / used;
    println!(
        "goal: endpoint/{} {GOAL:.0} requests/s on one core, measured {per_core:.0}, ratio {:.2}",
        name.replace(' ', "-"),
        per_core / GOAL
    );
    println!(
        "      {name:20} {:>8.0} requests/s of wall time   {:>8.0} requests/s of the server's CPU time",
        served as f64 / wall.as_secs_f64(),
        per_core,
    );
}

async fn client(address: SocketAddr, requests: Vec<Request<Full<Bytes>>>) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("TCP");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("no byte is needed");
    terway_sim::root::spawn(async move {
        let _ended = connection.await;
    });
    for request in requests {
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("whole");
    }
}
