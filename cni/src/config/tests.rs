use serde_json::json;

use super::*;

fn config(value: Value) -> Config {
    let Value::Object(mut document) = value else { panic!("an object") };
    document.insert("name".into(), json!("terway"));
    Config::new(document).expect("valid")
}

#[test]
fn a_refusal_names_key_and_value() {
    let refusals = [
        (json!({"eniip_virtual_type": "IPVlan"}), r#"`eniip_virtual_type` is "IPVlan""#),
        (json!({"vlan_strip_type": "none"}), r#"`vlan_strip_type` is "none""#),
        (json!({"bandwidth_mode": 3}), "`bandwidth_mode` is 3"),
        (json!({"network_policy_provider": "x"}), r#"`network_policy_provider` is "x""#),
        (json!({"disable_host_peer": "yes"}), r#"`disable_host_peer` is "yes""#),
        (json!({"debug": 1}), "`debug` is 1"),
        (json!({"enable_network_priority": true}), "`enable_network_priority` is true"),
        (json!({"symmetric_routing": true}), "`symmetric_routing` is true"),
        (json!({"symmetric_routing_config": []}), "`symmetric_routing_config` is []"),
        (json!({"veth_prefix": 4}), "`veth_prefix` is 4"),
        (json!({"cilium_args": []}), "`cilium_args` is []"),
        (json!({"cilium_enable_hubble": 0}), "`cilium_enable_hubble` is 0"),
        (json!({"host_stack_cidrs": ["10.0.0.0"]}), r#"`host_stack_cidrs` is "10.0.0.0""#),
        (json!({"host_stack_cidrs": "10.0.0.0/8"}), r#"`host_stack_cidrs` is "10.0.0.0/8""#),
        (json!({"mtu": 1279}), "`mtu` is 1279"),
        (json!({"mtu": 65536}), "`mtu` is 65536"),
        (json!({"mtu": "1500"}), r#"`mtu` is "1500""#),
        (json!({"auto_mtu": "true"}), r#"`auto_mtu` is "true""#),
        (json!({"runtimeConfig": []}), "`runtimeConfig` is []"),
        (
            json!({"runtimeConfig": {"bandwidth": {"egressRate": -8}}}),
            "`runtimeConfig.bandwidth.egressRate` is -8",
        ),
        (json!({"runtimeConfig": {"dns": {"servers": [1]}}}), "`runtimeConfig.dns.servers` is [1]"),
        (json!({"runtimeConfig": {"dns": "x"}}), r#"`runtimeConfig.dns` is "x""#),
        (json!({"runtimeConfig": {"portMappings": {}}}), "`runtimeConfig.portMappings` is {}"),
    ];
    for (document, words) in refusals {
        let error = config(document).datapath().expect_err(words);
        assert!(matches!(error, ConfigError::Refused { .. }), "{error}");
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

#[test]
fn what_the_original_writes_is_taken() {
    let datapath = config(json!({
        "cniVersion": "0.4.0", "type": "terway", "capabilities": {"bandwidth": true},
        "eniip_virtual_type": "Veth", "host_stack_cidrs": ["169.254.20.10/32"], "bandwidth_mode": "tc",
        "vlan_strip_type": "filter", "debug": false, "symmetric_routing": false, "mtu": 8500,
        "network_policy_provider": "ebpf", "cilium_enable_hubble": "false", "unheard": {"of": []},
        "runtimeConfig": {
            "bandwidth": {"ingressRate": 8000, "egressRate": 17, "ingressBurst": 4_294_967_295_u64},
            "dns": {"servers": ["10.0.0.10"], "searches": ["svc"], "options": ["ndots:5"]},
            "portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}],
        },
    }))
    .datapath()
    .expect("valid");
    assert_eq!(datapath.mtu, 8500);
    assert_eq!(datapath.bandwidth, Some(Bandwidth { ingress: 1000, egress: 3 }));
    assert_eq!(datapath.dns.search, ["svc"]);
}

#[test]
fn mtu_is_given_or_automatic_or_the_default() {
    let mtu = |value| config(value).datapath().expect("valid").mtu;
    assert_eq!(mtu(json!({})), 1500);
    assert_eq!(mtu(json!({"auto_mtu": true})), 0);
    assert_eq!(mtu(json!({"auto_mtu": true, "mtu": 9000})), 9000);
}

#[test]
fn collection_without_a_list_is_refused_and_an_empty_list_is_one() {
    let valid = |value| config(value).valid_attachments();
    for nothing in [json!({}), json!({"cni.dev/valid-attachments": null, "cni.dev/attachments": []})] {
        assert!(matches!(valid(nothing), Err(ConfigError::Missing { .. })));
    }
    assert_eq!(valid(json!({"cni.dev/valid-attachments": []})).expect("a list"), []);
    let entry = json!([{"containerID": "c1", "ifname": "eth0"}]);
    let wanted = Attachment { container: "c1".into(), ifname: "eth0".into() };
    assert_eq!(valid(json!({"cni.dev/attachments": entry})).expect("the old key"), [wanted]);
    assert!(valid(json!({"cni.dev/valid-attachments": [{"containerID": "c1"}]})).is_err());
}

#[test]
fn a_name_or_version_that_is_none_is_told() {
    let name = |value: Value| {
        let Value::Object(document) = value else { panic!("an object") };
        Config::new(document).expect_err("refused").to_string()
    };
    assert!(name(json!({})).starts_with("`name` is missing"));
    assert!(name(json!({"name": "a/b"})).starts_with(r#"`name` is "a/b""#));
    for (value, words) in [
        (json!({}), "`cniVersion` is `0.1.0`"),
        (json!({"cniVersion": "0.2.0"}), "`cniVersion` is `0.2.0`"),
        (json!({"cniVersion": 1}), "`cniVersion` is `1`"),
    ] {
        let error = version(value.as_object().expect("an object")).expect_err("refused");
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
