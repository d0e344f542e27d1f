//! Fuzzing of what the runtime hands over: whatever is on stdin and in the environment, there is one JSON document
//! or none, an exit code that agrees with it, and no panic.
//!
//! `cargo test` gives each target a second; `BOLERO_RANDOM_TEST_TIME_MS=60000 cargo test --profile sim -p terway-cni
//! --test fuzz` gives it a minute. No agent listens, so no verb gets to the kernel but DEL, which is left to the
//! checklist: there the plugin has a namespace of its own.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, time::Duration};

use bolero::{TypeGenerator, check};
use serde_json::{Map, Value, json};
use terway_cni::{
    env,
    run::{Output, run},
};

const VERBS: [&str; 5] = ["ADD", "CHECK", "GC", "STATUS", "VERSION"];

const KEYS: [&str; 22] = [
    "cniVersion",
    "name",
    "type",
    "prevResult",
    "runtimeConfig",
    "capabilities",
    "args",
    "ipam",
    "dns",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
    "eniip_virtual_type",
    "host_stack_cidrs",
    "mtu",
    "auto_mtu",
    "bandwidth_mode",
    "vlan_strip_type",
    "network_policy_provider",
    "disable_host_peer",
    "symmetric_routing",
    "symmetric_routing_config",
    "cilium_enable_hubble",
];

/// Values that are right for one key and wrong for the others.
fn value(drawn: u8, text: &str) -> Value {
    match drawn % 24 {
        0 => json!("1.1.0"),
        1 => json!("0.3.0"),
        2 => json!("terway"),
        3 => Value::Null,
        4 => json!(true),
        5 => json!(-1),
        6 => json!(1500),
        7 => json!(u64::MAX),
        8 => json!(1.5e300),
        9 => json!([]),
        10 => json!({}),
        11 => json!("veth"),
        12 => json!(["10.0.0.0/8"]),
        13 => json!([{"containerID": "c1", "ifname": "eth0"}]),
        14 => {
            json!({"bandwidth": {"ingressRate": u64::MAX, "egressRate": 1}, "dns": {"servers": ["10.0.0.10"]}})
        }
        15 => json!({"bandwidth": {"ingressRate": text}}),
        16 => json!({"cniVersion": "0.4.0", "ips": [{"version": "6", "address": "10.0.3.7/24"}]}),
        17 => {
            json!({"interfaces": [{"name": "eth0", "sandbox": "/x"}], "ips": [{"address": "10.0.3.7/24", "interface": u32::MAX}]})
        }
        18 => json!({"ips": null, "routes": [{"dst": "0.0.0.0/0", "gw": text}]}),
        19 => json!("tc"),
        20 => json!("ebpf"),
        21 => json!({"portMappings": [text]}),
        22 => json!([text]),
        _ => json!(text),
    }
}

#[derive(Clone, Debug, TypeGenerator)]
struct Drawn {
    verb: u8,
    entries: Vec<(u8, u8)>,
    text: String,
    /// In place of a document that is JSON.
    bytes: Option<Vec<u8>>,
    container: Vec<u8>,
    ifname: Vec<u8>,
    args: Vec<u8>,
    /// Which of the variables are well-formed instead.
    sound: u8,
}

/// Exit code, stdout and stderr agree, and stdout is one document.
fn agree(verb: &str, output: &Output) {
    if output.code == 0 && verb == "VERSION" {
        let reply: Value = serde_json::from_str(&output.stdout).expect("one document");
        assert!(reply["supportedVersions"].as_array().is_some_and(|list| list.len() == 5), "{output:?}");
        return;
    }
    // No agent listens: nothing else can succeed.
    assert_ne!(output.code, 0, "{verb}: {output:?}");
    let error: Value = serde_json::from_str(&output.stdout).expect("one document");
    let code = error["code"].as_u64().expect("a code");
    assert!([1, 2, 4, 5, 6, 7, 11, 50].contains(&code), "{verb}: {output:?}");
    assert!(error["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{output:?}");
    assert!(error["cniVersion"].is_string(), "{output:?}");
}

#[test]
fn whatever_comes_there_is_one_document_and_no_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("nobody.socket");
    check!().with_type::<Drawn>().with_test_time(Duration::from_secs(1)).for_each(|drawn| {
        let verb = VERBS[usize::from(drawn.verb) % VERBS.len()];
        let stdin = drawn.bytes.clone().unwrap_or_else(|| {
            let mut document = Map::new();
            // Most documents get past the first checks, so that the later ones are reached.
            document.insert("cniVersion".into(), json!("1.1.0"));
            document.insert("name".into(), json!("terway"));
            for (key, drawn_value) in &drawn.entries {
                let key = KEYS[usize::from(*key) % KEYS.len()];
                document.insert(key.into(), value(*drawn_value, &drawn.text));
            }
            document.insert("agent_socket".into(), json!(socket));
            serde_json::to_vec(&document).expect("JSON")
        });
        let sound = |bit: u8, text: &str, bytes: &[u8]| {
            if drawn.sound & 1 << bit == 0 { OsString::from_vec(bytes.to_vec()) } else { text.into() }
        };
        let lookup = |name: &'static str| match name {
            "CNI_COMMAND" => Some(verb.into()),
            "CNI_CONTAINERID" => Some(sound(0, "c1", &drawn.container)),
            "CNI_IFNAME" => Some(sound(1, "eth0", &drawn.ifname)),
            "CNI_ARGS" => Some(sound(2, "K8S_POD_NAMESPACE=d;K8S_POD_NAME=p", &drawn.args)),
            // Never one that can be worked in.
            "CNI_NETNS" => Some(sound(3, "/proc/self/ns/net", b"/nowhere")),
            _ => None,
        };
        // Raw bytes name no socket of ours, so they must not be a configuration that is complete.
        let complete = serde_json::from_slice::<Map<String, Value>>(&stdin)
            .is_ok_and(|document| !document.contains_key("agent_socket") && document.contains_key("name"));
        if !complete {
            agree(verb, &run(&lookup, &mut &*stdin));
        }
    });
}

#[test]
fn arguments_are_pairs_or_refused_and_never_a_panic() {
    check!().with_type::<String>().with_test_time(Duration::from_secs(1)).for_each(|text| {
        if let Ok(args) = env::args(text) {
            // Whatever was taken was written as a pair.
            for (key, value) in [("K8S_POD_NAME", &args.name), ("K8S_POD_UID", &args.uid)] {
                assert!(value.is_empty() || text.contains(&format!("{key}={value}")));
            }
            let ignoring = format!("IgnoreUnknown=1;UNHEARD=x;{text}");
            assert!(text.is_empty() || text.contains("IgnoreUnknown") || env::args(&ignoring).is_ok());
        }
    });
}
