//! Every message has the bytes that the documented field numbers give it.
//!
//! The expected bytes are put together here by the rules of proto3 from numbers alone, without prost: a
//! number that changes by mistake on both sides of our wire would still differ from the original's.

use prost::Message;
use terway_rpc::wire::{
    AllocIpReply, AllocIpRequest, BasicInfo, EniInfo, EventReply, EventRequest, EventTarget, EventType,
    GetInfoReply, GetInfoRequest, InfoError, IpSet, IpType, NetConf, Pod, ReleaseIpReply, ReleaseIpRequest,
    Route,
    node::{Attachment, CollectReply, CollectRequest, StatusReply, StatusRequest},
};

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A number, enum or bool: wire type 0.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A text or message: wire type 2.
fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn check<M: Message + Default + PartialEq + std::fmt::Debug>(message: &M, expected: &[Vec<u8>]) {
    let expected = expected.concat();
    assert_eq!(message.encode_to_vec(), expected, "{message:?}");
    assert_eq!(&M::decode(&*expected).expect("decodes"), message);
}

fn ips(v4: &str, v6: &str) -> (IpSet, Vec<u8>) {
    let encoded = [bytes(1, v4), bytes(2, v6)].concat();
    (IpSet { ipv4: v4.into(), ipv6: v6.into() }, encoded)
}

fn net_conf() -> (NetConf, Vec<u8>) {
    let (pod_ip, pod_ip_bytes) = ips("10.0.3.7", "2408::7");
    let (cidr, cidr_bytes) = ips("10.0.3.0/24", "2408::/64");
    let (gateway, gateway_bytes) = ips("10.0.3.253", "2408::fffd");
    let (service, service_bytes) = ips("172.16.0.0/16", "fd00::/108");
    let conf = NetConf {
        basic: Some(BasicInfo {
            pod_ip: Some(pod_ip),
            pod_cidr: Some(cidr),
            gateway: Some(gateway.clone()),
            service_cidr: Some(service),
        }),
        eni: Some(EniInfo {
            mac: "00:16:3e:00:00:01".into(),
            trunk: true,
            vid: 300,
            gateway: Some(gateway),
            erdma: true,
            vf_id: Some(0),
            id: "eni-1".into(),
        }),
        pod: Some(Pod { ingress: 1 << 40, egress: 128, priority: "guaranteed".into() }),
        ifname: "eth0".into(),
        extra_routes: vec![Route { dst: "10.9.0.0/16".into() }, Route { dst: "10.8.0.0/16".into() }],
        default_route: true,
        link: 0x4000_0007,
        pins: "/pins".into(),
    };
    let basic =
        [bytes(1, &pod_ip_bytes), bytes(2, cidr_bytes), bytes(3, &gateway_bytes), bytes(4, service_bytes)];
    let eni = [
        bytes(1, "00:16:3e:00:00:01"),
        number(2, 1),
        number(3, 300),
        bytes(4, &gateway_bytes),
        number(5, 1),
        // `optional`: zero is sent, and is not the same as nothing.
        number(6, 0),
        bytes(100, "eni-1"),
    ];
    let pod = [number(1, 1 << 40), number(2, 128), bytes(3, "guaranteed")];
    let encoded = [
        bytes(1, basic.concat()),
        bytes(2, eni.concat()),
        bytes(3, pod.concat()),
        bytes(4, "eth0"),
        bytes(5, bytes(1, "10.9.0.0/16")),
        bytes(5, bytes(1, "10.8.0.0/16")),
        number(6, 1),
        number(100, 0x4000_0007),
        bytes(101, "/pins"),
    ];
    (conf, encoded.concat())
}

#[test]
fn alloc_ip() {
    check(
        &AllocIpRequest {
            pod_name: "a".into(),
            pod_namespace: "default".into(),
            container: "c1".into(),
            netns: "/var/run/netns/x".into(),
            ifname: "eth0".into(),
            pod_uid: "u-1".into(),
            network: "terway".into(),
        },
        &[
            bytes(1, "a"),
            bytes(2, "default"),
            bytes(3, "c1"),
            bytes(4, "/var/run/netns/x"),
            bytes(5, "eth0"),
            bytes(100, "u-1"),
            bytes(101, "terway"),
        ],
    );
    let (conf, encoded) = net_conf();
    check(
        &AllocIpReply {
            success: true,
            ip_type: IpType::EniMultiIp as i32,
            ipv4: true,
            ipv6: true,
            net_confs: vec![conf],
        },
        &[number(1, 1), number(2, 2), number(3, 1), number(4, 1), bytes(5, encoded)],
    );
}

#[test]
fn release_ip() {
    let (address, encoded) = ips("10.0.3.7", "2408::7");
    check(
        &ReleaseIpRequest {
            pod_name: "a".into(),
            pod_namespace: "default".into(),
            container: "c1".into(),
            ip_type: IpType::VpcEni as i32,
            address: Some(address.clone()),
            mac: "00:16:3e:00:00:01".into(),
            reason: "normal release".into(),
            pod_uid: "u-1".into(),
            network: "terway".into(),
            ifname: "eth0".into(),
        },
        &[
            bytes(1, "a"),
            bytes(2, "default"),
            bytes(3, "c1"),
            number(4, 1),
            bytes(5, &encoded),
            bytes(6, "00:16:3e:00:00:01"),
            bytes(7, "normal release"),
            bytes(100, "u-1"),
            bytes(101, "terway"),
            bytes(102, "eth0"),
        ],
    );
    check(
        &ReleaseIpReply { success: true, address: Some(address), device_number: 3, ipv4: true, ipv6: true },
        &[number(1, 1), bytes(2, encoded), number(3, 3), number(4, 1), number(5, 1)],
    );
}

#[test]
fn get_ip_info() {
    check(
        &GetInfoRequest { pod_name: "a".into(), pod_namespace: "default".into(), container: "c1".into() },
        &[bytes(1, "a"), bytes(2, "default"), bytes(3, "c1")],
    );
    let (conf, encoded) = net_conf();
    check(
        &GetInfoReply {
            ip_type: IpType::EniMultiIp as i32,
            success: true,
            ipv4: true,
            ipv6: true,
            net_confs: vec![conf],
            error: InfoError::CrdNotFound as i32,
        },
        &[number(1, 2), number(2, 1), number(3, 1), number(4, 1), bytes(5, encoded), number(7, 1)],
    );
}

#[test]
fn record_event() {
    check(
        &EventRequest {
            target: EventTarget::Pod as i32,
            pod_name: "a".into(),
            pod_namespace: "default".into(),
            event_type: EventType::Warning as i32,
            reason: "ParseFailed".into(),
            message: "words".into(),
        },
        &[
            number(1, 1),
            bytes(2, "a"),
            bytes(3, "default"),
            number(4, 1),
            bytes(5, "ParseFailed"),
            bytes(6, "words"),
        ],
    );
    check(&EventReply { succeed: true, error: "words".into() }, &[number(1, 1), bytes(2, "words")]);
}

#[test]
fn the_service_of_ours() {
    check(&StatusRequest { network: "terway".into() }, &[bytes(1, "terway")]);
    check(
        &StatusReply { code: 50, message: "words".into(), details: "more".into() },
        &[number(1, 50), bytes(2, "words"), bytes(3, "more")],
    );
    check(
        &CollectRequest {
            network: "terway".into(),
            valid: vec![Attachment { container: "c1".into(), ifname: "eth0".into() }],
            started_at_boot_ms: 300,
        },
        &[bytes(1, "terway"), bytes(2, [bytes(1, "c1"), bytes(2, "eth0")].concat()), number(3, 300)],
    );
    check(
        &CollectReply { freed: 2, errors: vec!["one".into(), "two".into()] },
        &[number(1, 2), bytes(2, "one"), bytes(2, "two")],
    );
}

#[test]
fn an_original_peer_skips_what_is_ours() {
    // Field numbers of its own messages end at 7; it decodes by skipping the rest, as prost does here.
    let ours = [bytes(1, "a"), bytes(100, "u-1"), bytes(101, "terway"), bytes(102, "eth0"), number(200, 1)];
    assert_eq!(GetInfoRequest::decode(&*ours.concat()).expect("skipped").pod_name, "a");
}
