//! Replies as documented, replies that lack things, and replies of others.

use proptest::prelude::*;
use terway_core::{
    address::AddressSet,
    cloud::{EniStatus, NextHop, Page, RouteStatus},
    id::{InstanceId, Mac},
    limits::InstanceLimits,
};

use super::*;
use crate::reply::samples;

fn without(sample: &str, field: &str) -> String {
    fn prune(value: &mut serde_json::Value, field: &str) {
        match value {
            serde_json::Value::Object(map) => {
                map.remove(field);
                map.values_mut().for_each(|value| prune(value, field));
            }
            serde_json::Value::Array(rows) => rows.iter_mut().for_each(|value| prune(value, field)),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(sample).expect("a sample");
    prune(&mut value, field);
    value.to_string()
}

#[test]
fn a_created_eni_is_told_with_all_of_its_addresses() {
    let eni = create_eni(samples::CREATE_ENI.as_bytes()).expect("documented");
    assert_eq!(eni.id.as_str(), "eni-bp125p95hhdhn3ot");
    assert_eq!((eni.status, eni.instance), (EniStatus::Available, None));
    assert_eq!(eni.mac, Mac([0, 0x16, 0x3e, 0x12, 0xab, 0xcd]));
    assert_eq!(eni.vswitch.as_str(), "vsw-bp1s5fnvk4gn2tws0");
    assert_eq!(eni.primary.to_string(), "172.17.0.10");
    let addresses = AddressSet {
        v4: ["172.17.0.10", "172.17.0.11"].map(|ip| ip.parse().expect("an address")).to_vec(),
        v6: vec!["2001:db8:1234:1a00::1".parse().expect("an address")],
        prefixes: vec!["172.17.0.32/28".parse().expect("a prefix")],
    };
    assert_eq!(eni.addresses, addresses);
    let tags = [("a", ""), ("creator", "terway")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(eni.tags, tags);
}

#[test]
fn a_described_eni_may_lack_everything_that_is_not_essential() {
    let page = describe_enis(samples::DESCRIBE_ENIS.as_bytes()).expect("documented");
    assert_eq!(page.next.as_deref(), Some("AAAAAdDWBF2"));
    let [one, two] = &page.rows[..] else { panic!("{page:?}") };
    // By its attachment: the field of its own is empty.
    assert_eq!((one.status, one.instance.as_ref().map(InstanceId::as_str)), (EniStatus::InUse, Some("i-1")));
    assert_eq!(one.addresses.v4.len(), 2);
    assert_eq!((two.status, two.instance.clone()), (EniStatus::Available, None));
    assert_eq!(two.addresses.v4, [two.primary]);
    assert!(two.tags.is_empty() && two.addresses.v6.is_empty());
}

#[test]
fn the_primary_address_is_found_by_its_mark_and_a_failed_eni_is_on_its_way_out() {
    let json = without(samples::DESCRIBE_ENIS, "TotalCount")
        .replace(r#""PrivateIpAddress":"172.17.0.10","PrivateIpSets""#, r#""PrivateIpSets""#)
        .replace("InUse", "CreateFailed");
    let page = describe_enis(json.as_bytes()).expect("fine");
    assert_eq!(page.rows[0].primary.to_string(), "172.17.0.10");
    assert_eq!(page.rows[0].status, EniStatus::Deleting);
}

#[test]
fn assigned_addresses_are_told_and_a_reply_without_the_set_is_an_error() {
    let set = assign_ipv4(samples::ASSIGN_IPV4.as_bytes()).expect("documented");
    assert_eq!(set.v4.iter().map(ToString::to_string).collect::<Vec<_>>(), ["172.17.0.12", "172.17.0.13"]);
    assert_eq!(set.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["172.17.0.48/28"]);
    let set = assign_ipv6(samples::ASSIGN_IPV6.as_bytes()).expect("documented");
    assert_eq!(set.v6.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2001:db8:1234:1a00::2"]);
    let nothing =
        assign_ipv4(br#"{"AssignedPrivateIpAddressesSet": {"PrivateIpSet": {}}}"#).expect("fewer than asked");
    assert!(nothing.is_empty());
    assert!(matches!(assign_ipv4(samples::DONE.as_bytes()), Err(DecodeError::Missing { .. })));
    assert!(matches!(assign_ipv6(samples::DONE.as_bytes()), Err(DecodeError::Missing { .. })));
}

#[test]
fn limits_of_a_type_are_found_among_others_and_an_unknown_type_is_a_bad_parameter() {
    let limits =
        |name: &str| describe_instance_type(&name.into(), samples::DESCRIBE_INSTANCE_TYPES.as_bytes());
    assert_eq!(limits("ecs.g7.xlarge").expect("there"), InstanceLimits::new(4, 15, 15));
    assert_eq!(limits("ecs.g6.large").expect("there"), InstanceLimits::new(2, 6, 0));
    let error = limits("ecs.g9.nano").expect_err("not there");
    let error = error.of_call(Action::DescribeInstanceTypes, samples::DESCRIBE_INSTANCE_TYPES.as_bytes());
    assert_eq!((error.code.as_str(), error.class), ("InvalidParameter", RetryClass::Fatal));
    assert!(error.message.contains("ecs.g9.nano"), "{error}");
    assert_eq!(error.request_id, "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E");
}

#[test]
fn security_groups_come_sorted() {
    let groups = describe_security_groups(samples::DESCRIBE_SECURITY_GROUPS.as_bytes()).expect("documented");
    let shown: Vec<_> = groups.iter().map(|group| (group.id.as_str(), group.name.as_str())).collect();
    assert_eq!(shown, [("sg-1", ""), ("sg-2", "nodes")]);
}

#[test]
fn numbered_pages_lead_on_until_the_total_is_told() {
    let page =
        |asked: Option<&str>, json: &str| describe_vswitches(asked, json.as_bytes()).expect("documented");
    let sample = samples::DESCRIBE_VSWITCHES;
    let second = page(Some("2"), sample);
    assert_eq!((second.rows[0].available, second.next.as_deref()), (1, Some("3")));
    assert_eq!(second.rows[0].zone.as_str(), "cn-beijing-a");
    assert_eq!(page(Some("3"), sample).next, None);
    assert_eq!(page(None, &without(sample, "TotalCount")).next, None);
    // Nothing on a page: there is no use in asking on.
    let empty = r#"{"TotalCount": 1000, "VSwitches": {}}"#;
    assert_eq!(page(Some("7"), empty), Page::only(Vec::new()));
}

#[test]
fn route_tables_tell_whose_they_are() {
    let page = describe_route_tables(None, samples::DESCRIBE_ROUTE_TABLES.as_bytes()).expect("documented");
    let shown: Vec<_> =
        page.rows.iter().map(|row| (row.id.as_str(), row.system, row.vswitches.len())).collect();
    assert_eq!((shown, page.next), (vec![("vtb-1", true, 0), ("vtb-2", false, 2)], None));
}

#[test]
fn route_entries_tell_where_they_lead() {
    let page = describe_route_entries(samples::DESCRIBE_ROUTE_ENTRIES.as_bytes()).expect("documented");
    assert_eq!(page.next, None);
    let [ours, own, other] = &page.rows[..] else { panic!("{page:?}") };
    assert_eq!((ours.custom, &ours.next_hop), (true, &Some(NextHop::Instance("i-1".into()))));
    assert_eq!((own.custom, &own.next_hop, own.status), (false, &None, RouteStatus::Available));
    assert_eq!(
        (other.destination.to_string().as_str(), other.status),
        ("192.0.2.1/32", RouteStatus::Pending)
    );
    assert_eq!(other.next_hop, Some(NextHop::Other("NatGateway".to_owned(), "ngw-1".to_owned())));
    let id = create_route_entry(samples::CREATE_ROUTE_ENTRY.as_bytes()).expect("documented");
    assert_eq!(id.as_str(), "rte-acfvgfsghfdd");
}

type Decode<'a> = &'a dyn Fn(&str) -> Option<DecodeError>;

#[test]
fn what_is_essential_and_missing_is_named() {
    let enis = |json: &str| describe_enis(json.as_bytes()).err();
    let vswitches = |json: &str| describe_vswitches(None, json.as_bytes()).err();
    let entries = |json: &str| describe_route_entries(json.as_bytes()).err();
    let tables = |json: &str| describe_route_tables(None, json.as_bytes()).err();
    let limits = |json: &str| describe_instance_type(&"ecs.g7.xlarge".into(), json.as_bytes()).err();
    let route = |json: &str| create_route_entry(json.as_bytes()).err();
    let cases: &[(Decode<'_>, &str, &[&str])] = &[
        (
            &enis,
            samples::DESCRIBE_ENIS,
            &["NetworkInterfaceId", "Status", "VSwitchId", "MacAddress", "PrivateIpAddress"],
        ),
        (
            &vswitches,
            samples::DESCRIBE_VSWITCHES,
            &["VSwitchId", "VpcId", "ZoneId", "CidrBlock", "AvailableIpAddressCount"],
        ),
        (
            &entries,
            samples::DESCRIBE_ROUTE_ENTRIES,
            &["RouteEntryId", "RouteTableId", "DestinationCidrBlock", "Status"],
        ),
        (&tables, samples::DESCRIBE_ROUTE_TABLES, &["RouteTableId", "RouteTableType", "VpcId"]),
        (&limits, samples::DESCRIBE_INSTANCE_TYPES, &["EniQuantity", "EniPrivateIpAddressQuantity"]),
        (&route, samples::CREATE_ROUTE_ENTRY, &["RouteEntryId"]),
    ];
    for (decode, sample, fields) in cases {
        for field in *fields {
            let error = decode(&without(sample, field)).unwrap_or_else(|| panic!("{field} was not missed"));
            assert_eq!(error.to_string(), format!("`{field}` is missing in the reply"));
        }
    }
}

#[test]
fn a_value_that_means_nothing_is_told_with_what_is_allowed() {
    let json = samples::DESCRIBE_ENIS.replace("InUse", "Asleep");
    let error = describe_enis(json.as_bytes()).expect_err("no such state").to_string();
    assert!(error.contains("`Status` is `Asleep`") && error.contains("Available, Attaching"), "{error}");
    let json = samples::ASSIGN_IPV4.replace("172.17.0.12", "not-an-address");
    let error = assign_ipv4(json.as_bytes()).expect_err("no address").to_string();
    assert!(error.contains("not-an-address") && error.contains("an IPv4 address"), "{error}");
}

#[test]
fn a_refusal_within_a_success_is_a_refusal() {
    for json in [
        r#"{"Code": "OperationConflict", "Message": "busy", "Success": false, "RequestId": "r"}"#,
        r#"{"Code": "OperationConflict", "Message": "busy", "RequestId": "r"}"#,
    ] {
        for error in [
            describe_route_tables(None, json.as_bytes()).expect_err(json),
            describe_vswitches(None, json.as_bytes()).expect_err(json),
            describe_route_entries(json.as_bytes()).expect_err(json),
            create_route_entry(json.as_bytes()).expect_err(json),
            done(json.as_bytes()).expect_err(json),
        ] {
            let error = error.of_call(Action::CreateRouteEntry, json.as_bytes());
            assert_eq!((error.code.as_str(), error.class), ("OperationConflict", RetryClass::Transient));
            assert_eq!((error.message.as_str(), error.request_id.as_str()), ("busy", "r"));
        }
    }
    assert!(done(br#"{"Code": 200, "Success": "true"}"#).is_ok());
    assert!(done(br#"{"Success": false}"#).is_err());
}

#[test]
fn a_create_call_that_made_nothing_may_be_made_again() {
    for json in ["{}", r#"{"NetworkInterfaceId": "", "RequestId": "r"}"#] {
        let error = create_eni(json.as_bytes()).expect_err("nothing there");
        let error = error.of_call(Action::CreateNetworkInterface, json.as_bytes());
        assert_eq!((error.code.as_str(), error.class), (INVALID_REPLY, RetryClass::Transient));
        assert!(error.message.contains("nothing was created"), "{error}");
    }
}

#[test]
fn what_is_no_json_is_trouble_of_the_way_and_not_of_the_call() {
    for body in ["", "<html>502 Bad Gateway</html>", "[]", "\"text\"", "{\"RequestId\": ", "null"] {
        let error =
            done(body.as_bytes()).expect_err(body).of_call(Action::DeleteNetworkInterface, body.as_bytes());
        assert_eq!((error.code.as_str(), error.class), ("Unreachable", RetryClass::Transient), "{body}");
        let error = failure(Action::DeleteNetworkInterface, 502, body.as_bytes());
        assert_eq!((error.code.as_str(), error.class), ("Unreachable", RetryClass::Transient), "{body}");
        assert!(error.message.contains("HTTP 502"), "{error}");
    }
}

#[test]
fn a_refusal_is_told_whole_and_one_without_a_code_by_its_status() {
    let error = failure(Action::AttachNetworkInterface, 400, samples::REFUSAL.as_bytes());
    assert_eq!(error.code, "InvalidOperation.InvalidEniState");
    assert_eq!(error.message, "The operation is not allowed in this state.");
    assert_eq!(error.request_id, "7463B73D-35CC-4D19-A010-6B8D65D242EF");
    assert_eq!((error.class, error.retry_after), (RetryClass::Converge, None));
    for (status, code) in [
        (429, "Throttling"),
        (503, "ServiceUnavailable"),
        (500, "InternalError"),
        (504, "InternalError"),
        (418, "Http.418"),
    ] {
        assert_eq!(failure(Action::AttachNetworkInterface, status, b"{}").code, code);
    }
}

proptest! {
    /// Decoding what the endpoint would write of an ENI gives that ENI.
    #[test]
    fn an_eni_survives_the_wire(
        mac: [u8; 6],
        v4 in prop::collection::btree_set(any::<u32>(), 1..20),
        v6 in prop::collection::vec(any::<u128>(), 0..4),
        tags in prop::collection::btree_map("[a-z/-]{1,12}", ".{0,12}", 0..4),
    ) {
        let v4: Vec<std::net::Ipv4Addr> = v4.into_iter().map(Into::into).collect();
        let v6: Vec<std::net::Ipv6Addr> = v6.into_iter().map(Into::into).collect();
        let json = serde_json::json!({
            "NetworkInterfaceId": "eni-1", "Status": "InUse", "VSwitchId": "vsw-1", "InstanceId": "i-1",
            "MacAddress": Mac(mac), "PrivateIpAddress": v4[0],
            "PrivateIpSets": {"PrivateIpSet": v4.iter().map(|ip| serde_json::json!({"PrivateIpAddress": ip})).collect::<Vec<_>>()},
            "Ipv6Sets": {"Ipv6Set": v6.iter().map(|ip| serde_json::json!({"Ipv6Address": ip})).collect::<Vec<_>>()},
            "Tags": {"Tag": tags.iter().map(|(key, value)| serde_json::json!({"TagKey": key, "TagValue": value})).collect::<Vec<_>>()},
        });
        let body = serde_json::json!({"NetworkInterfaceSets": {"NetworkInterfaceSet": [json]}}).to_string();
        let page = describe_enis(body.as_bytes()).expect("all there");
        let eni = &page.rows[0];
        prop_assert_eq!(eni.mac, Mac(mac));
        prop_assert_eq!(&eni.addresses, &AddressSet { v4, v6, prefixes: Vec::new() });
        prop_assert_eq!(&eni.tags, &tags.into_iter().collect::<Vec<_>>());
    }
}
