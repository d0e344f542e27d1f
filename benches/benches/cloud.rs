//! What the client adds to a call of the cloud: encoding, signing, decoding.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use terway_benches::goal::Goal;
use terway_cloud::{
    credentials::Credentials,
    endpoints::{Endpoint, Endpoints, Network},
    reply, request,
    secret::Secret,
};
use terway_core::{
    address::AddressCount,
    cloud::{Action, Assign, Product},
};

/// Beside a call that takes hundreds of milliseconds this is nothing; with ten thousand simulated agents in
/// one process it is not.
const GOAL: Duration = Duration::from_micros(25);

const REPLY: &[u8] = br#"{"RequestId":"473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E","AssignedPrivateIpAddressesSet":{
    "NetworkInterfaceId":"eni-bp125p95hhdhn3ot****","PrivateIpSet":{"PrivateIpAddress":["192.168.0.1","192.168.0.2",
    "192.168.0.3","192.168.0.4","192.168.0.5","192.168.0.6","192.168.0.7","192.168.0.8","192.168.0.9","192.168.0.10"]},
    "Ipv4PrefixSet":{"Ipv4Prefixes":[]}}}"#;

struct Call {
    endpoint: Endpoint,
    credentials: Credentials,
    assign: Assign,
}

impl Call {
    fn new() -> Self {
        let endpoints = Endpoints::of_region("cn-hangzhou", Network::Vpc).expect("a region");
        Self {
            endpoint: endpoints.of(Product::Ecs).clone(),
            credentials: Credentials {
                key_id: "STS.NUgYrLnoC37mZZCNnAbez****".to_owned(),
                secret: Secret::new("CVwjCkNzTMupZ8NbTCxCBRq3K16jtcWFTJAyBEv2****"),
                token: Some(Secret::new("x".repeat(600))),
                expires: None,
            },
            assign: Assign {
                token: "0123456789abcdef0123456789abcdef".into(),
                eni: "eni-bp125p95hhdhn3otabcd".into(),
                count: AddressCount { v4: 10, ..AddressCount::default() },
            },
        }
    }

    fn encode(&self) -> String {
        request::assign_ipv4("cn-hangzhou", &self.assign).query()
    }

    fn sign(&self, query: &str) -> http::Request<bytes::Bytes> {
        let (date, nonce) = ("2023-10-26T10:22:32Z", "3156853299f313e23d1673dc12e1703d");
        let action = Action::AssignPrivateIpAddresses;
        request::signed(&self.endpoint, action, query, &self.credentials, date, nonce).expect("signed")
    }
}

fn whole(call: &Call) {
    let query = call.encode();
    black_box(call.sign(&query));
    black_box(reply::assign_ipv4(black_box(REPLY)).expect("a reply"));
}

fn cloud(criterion: &mut Criterion) {
    let call = Call::new();
    assert_eq!(reply::assign_ipv4(REPLY).expect("a reply").v4.len(), 10);
    let query = call.encode();
    let mut group = criterion.benchmark_group("AssignPrivateIpAddresses");
    group.bench_function("encode", |bench| bench.iter(|| call.encode()));
    group.bench_function("sign", |bench| bench.iter(|| call.sign(&query)));
    group.bench_function("decode", |bench| bench.iter(|| reply::assign_ipv4(black_box(REPLY))));
    group.bench_function("all", |bench| bench.iter(|| whole(&call)));
    group.finish();
    Goal::measure("cloud/sign-encode-decode", GOAL, || whole(&call)).report();
}

criterion_group!(benches, cloud);
criterion_main!(benches);
