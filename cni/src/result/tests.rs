use super::*;

fn pod() -> CniResult {
    let interface = |name: &str, mac: &str, sandbox: &str| Interface {
        name: name.into(),
        mac: mac.into(),
        mtu: Some(1500),
        sandbox: sandbox.into(),
        ..Interface::default()
    };
    let ip = |address: &str, gateway: &str| Ip {
        version: None,
        address: address.parse().expect("valid"),
        gateway: Some(gateway.parse().expect("valid")),
        interface: Some(1),
        other: Map::new(),
    };
    let route = |dst: &str, gw: &str| Route {
        dst: dst.parse().expect("valid"),
        gw: Some(gw.parse().expect("valid")),
        mtu: None,
        advmss: None,
        priority: None,
        table: None,
        scope: Some(0),
        other: Map::new(),
    };
    CniResult {
        interfaces: vec![
            interface("calia1", "ee:ff:00:00:00:01", ""),
            interface("eth0", "ee:ff:00:00:00:02", "/var/run/netns/cni-7"),
        ],
        ips: vec![ip("10.0.3.7/32", "169.254.1.1"), ip("2408::7/128", "fe80::1")],
        routes: vec![route("0.0.0.0/0", "169.254.1.1"), route("::/0", "fe80::1")],
        dns: Dns::default(),
        other: Map::new(),
    }
}

fn golden(version: Version) -> &'static str {
    match version {
        Version::V0_3_0 => include_str!("../../tests/golden/0.3.0.json"),
        Version::V0_3_1 => include_str!("../../tests/golden/0.3.1.json"),
        Version::V0_4_0 => include_str!("../../tests/golden/0.4.0.json"),
        Version::V1_0_0 => include_str!("../../tests/golden/1.0.0.json"),
        Version::V1_1_0 => include_str!("../../tests/golden/1.1.0.json"),
    }
}

#[test]
fn a_result_is_printed_as_each_version_has_it() {
    for version in Version::ALL {
        assert_eq!(pod().json(version), golden(version).trim_end(), "{}", version.as_str());
    }
}

#[test]
fn what_was_printed_is_read_again() {
    for version in Version::ALL {
        let value: Value = serde_json::from_str(golden(version)).expect("JSON");
        let read = CniResult::read(value).expect("valid");
        // Read from any version and printed in an older one, it is the golden of that one.
        for older in Version::ALL.into_iter().filter(|older| *older <= version) {
            assert_eq!(read.clone().json(older), golden(older).trim_end());
        }
    }
}

#[test]
fn fields_that_only_others_know_are_kept() {
    let text = concat!(
        r#"{"cniVersion":"1.0.0","interfaces":[{"name":"x","vendor":{"a":1}}],"#,
        r#""ips":[{"address":"10.0.3.7/24","note":"n"}],"extra":[1]}"#
    );
    let read = CniResult::read(serde_json::from_str(text).expect("JSON")).expect("valid");
    // Host bits of the address are kept too.
    assert_eq!(read.json(Version::V1_0_0), text);
}

#[test]
fn a_contradiction_or_a_foreign_version_is_refused() {
    let read = |text: &str| CniResult::read(serde_json::from_str(text).expect("JSON"));
    let six = r#"{"ips":[{"version":"6","address":"10.0.3.7/24"}]}"#;
    assert!(matches!(read(six), Err(ResultError::Contradiction { .. })));
    assert!(matches!(read(r#"{"cniVersion":"0.2.0"}"#), Err(ResultError::Version(_))));
    assert!(matches!(read(r#"{"cniVersion":2}"#), Err(ResultError::Version(_))));
    assert!(matches!(read("[]"), Err(ResultError::Malformed(_))));
    assert!(read(r#"{"cniVersion":"","ips":null,"dns":{}}"#).is_ok());
}
