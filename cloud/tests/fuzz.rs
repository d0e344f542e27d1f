//! Fuzz targets: what comes from the network is decoded without a panic, and what is signed is what the
//! documentation says is signed.
//!
//! The default engine draws inputs for one second per target. `BOLERO_RANDOM_TEST_TIME_MS` says how many
//! milliseconds it shall be instead; a minute for each target, one after the other:
//!
//! ```sh
//! BOLERO_RANDOM_TEST_TIME_MS=60000 cargo test -p terway-cloud --test fuzz -- --test-threads 1
//! ```
//!
//! A failure prints `BOLERO_RANDOM_SEED=…`, which replays it. `cargo bolero test` runs the same targets
//! with an engine that is guided by coverage.

use bolero::{TypeGenerator, check};
use terway_cloud::{
    reply,
    sign::{self, Signable},
};
use terway_core::cloud::{Action, CloudError};

#[path = "../src/reply/samples.rs"]
mod samples;

const SAMPLES: &[&str] = &[
    samples::CREATE_ENI,
    samples::DONE,
    samples::DESCRIBE_ENIS,
    samples::ASSIGN_IPV4,
    samples::ASSIGN_IPV6,
    samples::DESCRIBE_INSTANCE_TYPES,
    samples::DESCRIBE_SECURITY_GROUPS,
    samples::DESCRIBE_VSWITCHES,
    samples::DESCRIBE_ROUTE_TABLES,
    samples::DESCRIBE_ROUTE_ENTRIES,
    samples::CREATE_ROUTE_ENTRY,
    samples::REFUSAL,
];

/// Decodes a body as the reply of an action; an error is the one that the caller would see.
fn decode(action: Action, body: &[u8]) -> Result<(), CloudError> {
    let page = body.len().is_multiple_of(3).then_some("2");
    match action {
        Action::CreateNetworkInterface => reply::create_eni(body).map(drop),
        Action::DescribeNetworkInterfaces => reply::describe_enis(body).map(drop),
        Action::AssignPrivateIpAddresses => reply::assign_ipv4(body).map(drop),
        Action::AssignIpv6Addresses => reply::assign_ipv6(body).map(drop),
        Action::DescribeInstanceTypes => {
            reply::describe_instance_type(&"ecs.g7.xlarge".into(), body).map(drop)
        }
        Action::DescribeSecurityGroups => reply::describe_security_groups(body).map(drop),
        Action::DescribeVSwitches => reply::describe_vswitches(page, body).map(drop),
        Action::DescribeRouteTableList => reply::describe_route_tables(page, body).map(drop),
        Action::DescribeRouteEntryList => reply::describe_route_entries(body).map(drop),
        Action::CreateRouteEntry => reply::create_route_entry(body).map(drop),
        _ => reply::done(body),
    }
    .map_err(|error| error.of_call(action, body))
}

/// Every action, and the same body as a refusal.
fn decode_all(body: &[u8]) {
    for action in Action::ALL {
        if let Err(error) = decode(*action, body) {
            assert!(!error.code.is_empty() && !error.request_id.is_empty(), "{error:?}");
        }
        let error = reply::failure(*action, 400, body);
        assert!(!error.code.is_empty() && !error.request_id.is_empty(), "{error:?}");
    }
}

#[test]
fn decoders_take_any_bytes() {
    check!().for_each(decode_all);
}

/// A change to a reply that keeps it close to one.
#[derive(Clone, Debug, TypeGenerator)]
enum Change {
    /// The bytes from here on, as many as that, become these.
    Splice(u16, u8, Vec<u8>),
    /// It ends here.
    Cut(u16),
    /// A value becomes another.
    Swap(u16, Value),
    /// A field goes.
    Drop(u16),
}

#[derive(Clone, Debug, TypeGenerator)]
enum Value {
    Null,
    Bool(bool),
    Number(i64),
    Float(f32),
    Text(String),
    List(u8),
    Object,
    Deep(u8),
}

impl Value {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Float(value) => f64::from(*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::List(count) => vec![serde_json::json!({}); usize::from(*count)].into(),
            Self::Object => serde_json::json!({}),
            Self::Deep(depth) => {
                (0..*depth).fold(serde_json::json!([]), |inner, _| serde_json::json!({ "X": [inner] }))
            }
        }
    }
}

/// Walks all values in order and does something to the one of a number.
fn at(value: &mut serde_json::Value, left: &mut usize, then: &mut dyn FnMut(&mut serde_json::Value)) {
    if *left == 0 {
        *left = usize::MAX;
        then(value);
        return;
    }
    *left = left.saturating_sub(1);
    match value {
        serde_json::Value::Object(map) => map.values_mut().for_each(|value| at(value, left, then)),
        serde_json::Value::Array(rows) => rows.iter_mut().for_each(|value| at(value, left, then)),
        _ => {}
    }
}

fn apply(body: &mut Vec<u8>, change: &Change) {
    let within = |index: u16, len: usize| usize::from(index) % (len + 1);
    match change {
        Change::Splice(from, count, bytes) => {
            let from = within(*from, body.len());
            let to = (from + usize::from(*count)).min(body.len());
            body.splice(from..to, bytes.iter().copied());
        }
        Change::Cut(from) => body.truncate(within(*from, body.len())),
        Change::Swap(number, new) => on_tree(body, |tree| {
            at(tree, &mut within(*number, 80), &mut |value| *value = new.json());
        }),
        Change::Drop(number) => on_tree(body, |tree| {
            at(tree, &mut within(*number, 80), &mut |value| {
                if let serde_json::Value::Object(map) = value
                    && let Some(name) = map.keys().nth(usize::from(*number) % map.len().max(1)).cloned()
                {
                    map.remove(&name);
                }
            });
        }),
    }
}

/// Changes a body that is still JSON.
fn on_tree(body: &mut Vec<u8>, then: impl FnOnce(&mut serde_json::Value)) {
    if let Ok(mut tree) = serde_json::from_slice(body) {
        then(&mut tree);
        *body = tree.to_string().into_bytes();
    }
}

#[test]
fn decoders_take_replies_that_went_wrong() {
    check!().with_type::<(u8, Vec<Change>)>().for_each(|(sample, changes)| {
        let mut body = SAMPLES[usize::from(*sample) % SAMPLES.len()].as_bytes().to_vec();
        for change in changes.iter().take(8) {
            apply(&mut body, change);
        }
        decode_all(&body);
    });
}

/// The canonical query as the documentation tells it, step by step and without any care for time.
fn naive_query(parameters: &[(String, String)]) -> String {
    let encode = |text: &str| {
        let mut encoded = String::new();
        for byte in text.as_bytes() {
            let letter = *byte as char;
            if letter.is_ascii_alphabetic() || letter.is_ascii_digit() || "-_.~".contains(letter) {
                encoded += &letter.to_string();
            } else {
                encoded += "%";
                encoded += &[byte >> 4, byte & 15].map(|digit| format!("{digit:X}")).concat();
            }
        }
        encoded
    };
    let mut sorted = parameters.to_vec();
    sorted.sort_by(|one, other| {
        (one.0.as_bytes(), one.1.as_bytes()).cmp(&(other.0.as_bytes(), other.1.as_bytes()))
    });
    let pairs: Vec<String> =
        sorted.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn naive_canonical(query: &str, headers: &[(String, String)]) -> String {
    let lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let lines = lines.concat();
    let names = headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(";");
    ["POST", "/", query, &lines, &names, sign::EMPTY_BODY].join("\n")
}

#[test]
fn what_is_signed_is_what_the_documentation_says() {
    type Texts = Vec<(String, String)>;
    check!().with_type::<(Texts, Texts)>().for_each(|(parameters, headers)| {
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let query = sign::canonical_query(pairs);
        assert_eq!(query, naive_query(parameters));
        let mut headers = headers.clone();
        headers.sort();
        let lent: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let payload_hash = sign::EMPTY_BODY;
        let signable = Signable { method: "POST", path: "/", query: &query, headers: &lent, payload_hash };
        assert_eq!(signable.canonical(), naive_canonical(&query, &headers));
        let signature = signable.signature("secret");
        assert!(signature.len() == 64 && signature.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
    });
}
