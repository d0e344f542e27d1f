//! Fuzzing of what reads requests: whatever comes, there is an answer of the documented shape, and no panic.
//!
//! `cargo test` gives each target a second. For longer, bolero's own engine takes its time from the environment:
//! `BOLERO_RANDOM_TEST_TIME_MS=60000 cargo test --profile sim -p terway-sim --test fuzz_endpoint`; a failure prints
//! the `BOLERO_RANDOM_SEED` that finds it again.

use std::{
    net::Ipv4Addr,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use bolero::{TypeGenerator, check};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use terway_cloud::sign::{Signable, canonical_query, payload_hash};
use terway_core::{cloud::Action, time::Clock};
use terway_sim::{
    cloud::{CloudModel, FakeCloud},
    endpoint::{
        Endpoint, Keys,
        auth::Authorization,
        params::Params,
        topology::{self, Topology},
    },
    ports::SimClock,
};
use tokio::runtime::{Builder, Runtime};

/// Names that mean something somewhere; each index of a fuzzed request falls on one.
const NAMES: &[&str] = &[
    "RegionId",
    "NetworkInterfaceId",
    "NetworkInterfaceId.1",
    "NetworkInterfaceId.2",
    "InstanceId",
    "VSwitchId",
    "VpcId",
    "SecurityGroupId",
    "SecurityGroupIds",
    "SecurityGroupIds.1",
    "SecondaryPrivateIpAddressCount",
    "Ipv4PrefixCount",
    "Ipv6AddressCount",
    "PrivateIpAddress.1",
    "PrivateIpAddress.2",
    "Ipv4Prefix.1",
    "Ipv6Address.1",
    "Tag.1.Key",
    "Tag.1.Value",
    "Tag.2.Key",
    "ClientToken",
    "Status",
    "Type",
    "InstanceType",
    "InstanceTypes.1",
    "InstanceTypeFamily",
    "MaxResults",
    "MaxResult",
    "NextToken",
    "PageNumber",
    "PageSize",
    "ZoneId",
    "RouteTableId",
    "RouteEntryId",
    "RouteEntryType",
    "DestinationCidrBlock",
    "NextHopType",
    "NextHopId",
    "NetworkInterfaceName",
    "Format",
];

/// Values that lead somewhere.
const VALUES: &[&str] = &[
    "cn-sim",
    "eni-00000001",
    "eni-00000005",
    "eni-00000006",
    "i-sim-1",
    "i-sim-4",
    "vsw-sim-a",
    "vsw-sim-c",
    "vpc-sim",
    "sg-sim",
    "[\"sg-sim\"]",
    "vtb-sim",
    "rte-00000001",
    "rte-00000004",
    "0",
    "1",
    "2",
    "10",
    "49",
    "500",
    "18446744073709551615",
    "-1",
    "10.0.0.1",
    "10.0.0.3",
    "10.0.15.224/28",
    "172.20.0.0/24",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "2408:4005:3a0:ff00::2",
    "::/0",
    "Available",
    "InUse",
    "Secondary",
    "Primary",
    "Custom",
    "Instance",
    "NetworkInterface",
    "ecs.g7.xlarge",
    "token",
    "json",
];

struct World {
    runtime: Runtime,
    clock: Arc<SimClock>,
    endpoint: Arc<Endpoint>,
}

/// The default topology, on a clock that is paused.
fn world() -> World {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let (clock, endpoint) = runtime.block_on(async {
        let topology = Topology::parse(topology::DEFAULT, CloudModel::instant()).expect("right");
        let cloud = FakeCloud::new(topology.model.clone(), 1);
        topology.build(&cloud).expect("it can be built");
        let clock = SimClock::new(tokio::time::Instant::now());
        (clock.clone(), Endpoint::new(cloud, Keys::new(1, None), clock))
    });
    World { runtime, clock, endpoint }
}

impl World {
    /// Asks, and holds the answer against the shape that every answer has.
    fn ask(&self, request: Request<Bytes>) {
        let answer = self.runtime.block_on(self.endpoint.openapi(request)).expect("no fault is active");
        let (head, body) = answer.into_parts();
        let body = self.runtime.block_on(body.collect()).expect("it is whole").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("answers are JSON");
        assert!(body["RequestId"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
        if !head.status.is_success() {
            assert!(matches!(head.status.as_u16(), 400 | 403 | 404), "{}: {body}", head.status);
            for field in ["Code", "Message", "HostId", "Recommend"] {
                assert!(body[field].is_string(), "{field}: {body}");
            }
        }
    }
}

#[test]
fn any_query_and_form_are_read_or_refused() {
    check!().with_type::<(String, Vec<u8>)>().for_each(|(query, form)| {
        let Ok(mut params) = Params::parse(query, form) else { return };
        let names: Vec<String> = params.iter().map(|(name, _)| name.to_owned()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "each name is there once: {names:?}");
        for name in &names {
            let _read = params.clone().number(name, 1..=10u32);
            let _read = params.clone().read::<Ipv4Addr>(name, "an address");
            let _read = params.clone().json_list(name);
            let base = name.strip_suffix(".1").unwrap_or(name);
            let _read = (params.list(base), params.tags());
        }
        let _refused = params.finish();
    });
}

#[test]
fn any_authorization_is_read_or_refused() {
    check!().with_type::<(bool, String)>().for_each(|(begins, text)| {
        let value = if *begins { format!("ACS3-HMAC-SHA256 {text}") } else { text.clone() };
        if let Ok(read) = Authorization::parse(&value) {
            assert!(value.contains(read.key_id) && value.contains(read.signature));
            assert!(!read.signed.is_empty());
        }
    });
}

/// A request of any bytes that HTTP lets through.
#[derive(Clone, Debug, TypeGenerator)]
struct Raw {
    method: u8,
    query: Vec<u8>,
    headers: Vec<(u8, Vec<u8>)>,
    body: Vec<u8>,
}

impl Raw {
    fn request(&self) -> Option<Request<Bytes>> {
        const HEADERS: [&str; 10] = [
            "authorization",
            "host",
            "content-type",
            "x-acs-action",
            "x-acs-version",
            "x-acs-date",
            "x-acs-signature-nonce",
            "x-acs-content-sha256",
            "x-acs-security-token",
            "x-other",
        ];
        let method = [Method::GET, Method::POST, Method::PUT][usize::from(self.method) % 3].clone();
        // What is no URI does not get past the server.
        let uri = [b"/?", &self.query[..]].concat();
        let mut request =
            Request::builder().method(method).uri(&uri[..]).body(Bytes::from(self.body.clone())).ok()?;
        for (name, value) in &self.headers {
            let name = HeaderName::from_static(HEADERS[usize::from(*name) % HEADERS.len()]);
            // Some values lead on, the others are what they are.
            let value: &[u8] = match (name.as_str(), value.first()) {
                ("x-acs-version", Some(b'a'..)) => b"2014-05-26",
                ("x-acs-action", Some(b'a'..)) => b"DescribeNetworkInterfaces",
                ("content-type", Some(b'a'..)) => b"application/x-www-form-urlencoded",
                _ => value,
            };
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(name, value);
            }
        }
        Some(request)
    }
}

#[test]
fn any_request_has_an_answer() {
    // A panic ends the test; nobody looks at a world that one has left.
    let world = AssertUnwindSafe(world());
    check!().with_type::<Raw>().for_each(|raw| {
        if let Some(request) = raw.request() {
            world.ask(request);
        }
    });
}

/// A value of a parameter: one that leads somewhere, or anything.
#[derive(Clone, Debug, TypeGenerator)]
enum Text {
    Known(u8),
    Any(String),
}

/// A request that is signed well, so that it gets to the action.
#[derive(Clone, Debug, TypeGenerator)]
struct Call {
    action: u8,
    params: Vec<(u8, Text)>,
}

fn signed(world: &World, call: &Call, nonce: u64) -> Request<Bytes> {
    let action = Action::ALL[usize::from(call.action) % Action::ALL.len()];
    let mut params = vec![("RegionId", "cn-sim")];
    for (name, value) in &call.params {
        let name = NAMES[usize::from(*name) % NAMES.len()];
        let value = match value {
            Text::Known(index) => VALUES[usize::from(*index) % VALUES.len()],
            Text::Any(text) => text,
        };
        if params.iter().all(|(taken, _)| *taken != name) {
            params.push((name, value));
        }
    }
    let query = canonical_query(params);
    let (hash, nonce) = (payload_hash(b""), nonce.to_string());
    let seconds = world.clock.now().duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs();
    let date = jiff::Timestamp::from_second(seconds.cast_signed()).expect("near").to_string();
    let headers = [
        ("host", "ecs"),
        ("x-acs-action", action.name()),
        ("x-acs-content-sha256", &hash),
        ("x-acs-date", &date),
        ("x-acs-signature-nonce", &nonce),
        ("x-acs-version", action.product().version()),
    ];
    let signable =
        Signable { method: "POST", path: "/", query: &query, headers: &headers, payload_hash: &hash };
    let key = world.endpoint.keys().operator();
    let mut request = Request::post(format!("/?{query}"))
        .header("authorization", signable.authorization(&key.id, &key.secret));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Bytes::new()).expect("well formed")
}

/// Signed requests may change the cloud in any order: what is left can be kept and gone on from.
#[test]
fn any_calls_leave_a_cloud_that_holds_together() {
    let nonces = AtomicU64::new(0);
    check!().with_type::<Vec<Call>>().for_each(|calls| {
        let world = world();
        for call in calls.iter().take(20) {
            let request = signed(&world, call, nonces.fetch_add(1, Relaxed));
            world.ask(request);
        }
        let state = world.endpoint.cloud().state();
        world.runtime.block_on(async {
            let again = FakeCloud::new(CloudModel::instant(), 1);
            again.restore(&state).expect("it holds together");
            assert_eq!(again.state(), state);
        });
    });
}
