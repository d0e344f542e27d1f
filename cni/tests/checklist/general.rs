//! Rows of all verbs: environment, configuration, what is on stdout.

use serde_json::{Value, json};

use crate::bed::{Bed, Netns, Sandbox};

pub(crate) fn verbs() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let result = bed.add(&sandbox);
    let mut config = bed.after(&result);
    config["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    for verb in ["CHECK", "GC", "STATUS", "DEL"] {
        bed.verb(verb, &sandbox, &config).silent().expect(verb);
    }
    assert_eq!(bed.verb("VERSION", &sandbox, &config).code, 0);
    for verb in ["add", "UPDATE"] {
        let words = bed.verb(verb, &sandbox, &config).failed(4).expect("refused");
        assert!(words.contains("CNI_COMMAND") && words.contains(verb), "{words}");
    }
}

pub(crate) fn missing() {
    let bed = Bed::new();
    let config = bed.config().to_string();
    for (verb, names) in [
        ("ADD", "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
        ("CHECK", "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"),
        ("DEL", "CNI_CONTAINERID, CNI_IFNAME"),
    ] {
        // Empty is unset: libcni passes it so.
        for variables in [vec![("CNI_COMMAND", verb)], vec![("CNI_COMMAND", verb), ("CNI_IFNAME", "")]] {
            let words = bed.plugin(&variables, &config).failed(4).expect("refused");
            assert!(words.contains(names), "{words}");
        }
    }
}

pub(crate) fn syntax() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let netns = pod.path().display().to_string();
    let good = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", &*netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=d;K8S_POD_NAME=p"),
    ];
    for (name, value) in [
        ("CNI_CONTAINERID", "../c1"),
        ("CNI_CONTAINERID", "-c1"),
        ("CNI_IFNAME", "a-name-of-sixteen"),
        ("CNI_IFNAME", ".."),
        ("CNI_IFNAME", "eth0:1"),
        ("CNI_IFNAME", "eth 0"),
        ("CNI_ARGS", "K8S_POD_NAME"),
        ("CNI_ARGS", "K8S_POD_NAME=a=b"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=d;K8S_POD_NAME=p;UNHEARD=1"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=d"),
        ("CNI_NETNS", "/proc/self/ns/net"),
    ] {
        let variables = good.map(|(key, sound)| (key, if key == name { value } else { sound }));
        let words = bed.plugin(&variables, &bed.config().to_string()).failed(4).expect("refused");
        assert!(words.contains(name), "{name}={value}: {words}");
    }
    assert!(bed.agent().state().allocations.is_empty(), "refused before the agent is asked");
}

pub(crate) fn configuration() {
    let bed = Bed::new();
    let verb = [("CNI_COMMAND", "STATUS")];
    for stdin in ["", "{", "[]", "\u{0}", "{\"name\": \"a\"} x"] {
        bed.plugin(&verb, stdin).failed(6).expect(stdin);
    }
    for name in [Value::Null, json!(""), json!("a/b"), json!(1)] {
        let mut config = bed.config();
        config["name"] = name;
        let words = bed.plugin(&verb, &config.to_string()).failed(7).expect("refused");
        assert!(words.contains("`name`"), "{words}");
    }
    for version in [Value::Null, json!("0.2.0"), json!("2.0.0"), json!(1)] {
        let mut config = bed.config();
        config["cniVersion"] = version;
        let words = bed.plugin(&verb, &config.to_string()).failed(1).expect("refused");
        assert!(words.contains("0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"), "{words}");
    }
    // Verbs that are newer than the configuration.
    for (verb, version) in [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")] {
        let mut config = bed.config();
        config["cniVersion"] = json!(version);
        let words = bed.plugin(&[("CNI_COMMAND", verb)], &config.to_string()).failed(1).expect("refused");
        assert!(words.contains(verb) && words.contains(version), "{words}");
    }
    // A refused field is named with its value.
    let mut config = bed.config();
    config["eniip_virtual_type"] = json!("IPVlan");
    let words = bed.plugin(&verb, &config.to_string()).failed(2).expect("refused");
    assert!(words.contains("`eniip_virtual_type` is \"IPVlan\""), "{words}");
}

pub(crate) fn one_document() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let add = bed.verb("ADD", &sandbox, &bed.config());
    assert!(add.json().is_object() && add.stderr.is_empty(), "{add:?}");
    let config = bed.after(&add.json());
    bed.verb("CHECK", &sandbox, &config).silent().expect("CHECK");
    bed.verb("DEL", &sandbox, &config).silent().expect("DEL");
    let failed = bed.verb("CHECK", &sandbox, &config);
    assert!(failed.json()["code"].is_u64() && failed.code != 0, "{failed:?}");
    assert!(failed.stderr.starts_with("terway: "), "for people: {failed:?}");
}

/// The drawn part is `tests/fuzz.rs`; here are the documents that break parsers, each to every verb.
pub(crate) fn any_stdin() {
    let (bed, pod) = (Bed::new(), Netns::new());
    let sandbox = Sandbox::new("web", "c1", &pod.path());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut documents: Vec<String> =
        vec![String::new(), "null".into(), "{}".into(), deep.clone(), "\"".into(), "x".repeat(5 << 20)];
    for (key, value) in [
        ("prevResult", json!({"ips": [{"address": "10.0.3.7/24", "interface": u32::MAX}]})),
        ("prevResult", json!({"interfaces": [{"name": "eth0"}], "ips": "x"})),
        ("prevResult", json!([[]])),
        ("runtimeConfig", json!({"bandwidth": {"ingressRate": u64::MAX, "egressRate": 1}})),
        ("mtu", json!(65535)),
        ("cni.dev/valid-attachments", json!([{"containerID": 1}])),
        ("agent_socket", json!(format!("/{}", "s".repeat(200)))),
        ("agent_socket", json!(null)),
    ] {
        let mut config = bed.config();
        config[key] = value;
        documents.push(config.to_string());
    }
    for document in &documents {
        for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] {
            let netns = sandbox.netns.display().to_string();
            let variables = [
                ("CNI_COMMAND", verb),
                ("CNI_CONTAINERID", "c1"),
                ("CNI_NETNS", &*netns),
                ("CNI_IFNAME", "eth0"),
                ("CNI_ARGS", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"),
            ];
            let outcome = bed.plugin(&variables, document);
            if outcome.code == 0 && !matches!(verb, "ADD" | "VERSION") {
                outcome.silent().expect(verb);
            } else {
                assert_ne!(outcome.json()["code"], 100, "{verb}: {outcome:?}");
            }
        }
    }
}

pub(crate) fn by_hand() {
    let outcome = Bed::new().plugin(&[], "");
    assert!(outcome.code > 0 && outcome.stdout.is_empty(), "{outcome:?}");
    assert!(outcome.stderr.contains("CNI plugin") && outcome.stderr.contains("CNI_COMMAND"), "{outcome:?}");
}

pub(crate) fn version() {
    let mut bed = Bed::new();
    bed.kill_agent();
    let verb = [("CNI_COMMAND", "VERSION")];
    for (stdin, said) in [
        ("", "1.1.0"),
        ("junk", "1.1.0"),
        (r#"{"cniVersion": "9.9.9"}"#, "1.1.0"),
        (r#"{"cniVersion": "0.4.0"}"#, "0.4.0"),
    ] {
        let outcome = bed.plugin(&verb, stdin);
        let wanted =
            json!({"cniVersion": said, "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]});
        assert_eq!((outcome.code, outcome.json()), (0, wanted), "{stdin}");
    }
}
