//! Golden queries: a change here is a change on the wire.

use terway_core::{
    address::AddressCount,
    cloud::{NextHop, RouteStatus, TAG_TOKEN},
};

use super::*;
use crate::testing::key;

const R: &str = "cn-hangzhou";

fn assign(v4: u32, v6: u32, prefixes: u32) -> Assign {
    Assign { token: "tok-1".into(), eni: "eni-1".into(), count: AddressCount { v4, v6, prefixes } }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn every_action_has_its_documented_parameters() {
    let (eni, instance) = (EniId::from("eni-1"), InstanceId::from("i-1"));
    let mut create = CreateEni {
        token: "tok-1".into(),
        vswitch: "vsw-1".into(),
        security_groups: vec!["sg-1".into(), "sg-2".into()],
        count: AddressCount { v4: 10, v6: 2, prefixes: 1 },
        tags: vec![pair("creator", "terway"), pair(TAG_TOKEN, "tok 1")],
    };
    let few =
        CreateEni { count: AddressCount { v4: 1, v6: 0, prefixes: 0 }, tags: Vec::new(), ..create.clone() };
    create.security_groups.truncate(2);
    let set = AddressSet {
        v4: vec!["10.0.0.1".parse().expect("an address"), "10.0.0.2".parse().expect("an address")],
        v6: vec!["2001:db8::1".parse().expect("an address")],
        prefixes: vec!["10.0.0.16/28".parse().expect("a prefix")],
    };
    let ids = EniFilter::Ids(vec!["eni-1".into(), "eni-2".into()]);
    let (on, of) = (EniFilter::OnInstance("i-1".into()), EniFilter::OfInstance("i-1".into()));
    let kind = InstanceType::from("ecs.g7.xlarge");
    let groups: Vec<SecurityGroupId> = vec!["sg-1".into(), "sg-2".into()];
    let many: Vec<SecurityGroupId> = (0..51).map(|n| format!("sg-{n}").into()).collect();
    let (vpc, table) = (VpcId::from("vpc-1"), RouteTableId::from("vtb-1"));
    let (one, all) = (VSwitchFilter::Id("vsw-1".into()), VSwitchFilter::OfVpc("vpc-1".into()));
    let hop = NextHop::NetworkInterface("eni-1".into());
    let destination = "10.1.0.0/24".parse().expect("a block");
    let route =
        CreateRoute { token: "tok-1".into(), table: table.clone(), destination, next_hop: hop.clone() };
    let entry = RouteEntry {
        id: "rte-1".into(),
        table: table.clone(),
        destination,
        status: RouteStatus::Available,
        custom: true,
        next_hop: Some(hop),
    };
    let (three, six, prefix) = (assign(3, 0, 0), assign(0, 2, 0), assign(0, 0, 1));
    let golden = [
        (
            create_eni(R, &create),
            "ClientToken=tok-1&InstanceType=Secondary&Ipv4PrefixCount=1&Ipv6AddressCount=2&RegionId=cn-hangzhou\
             &SecondaryPrivateIpAddressCount=9&SecurityGroupIds.1=sg-1&SecurityGroupIds.2=sg-2&Tag.1.Key=creator\
             &Tag.1.Value=terway&Tag.2.Key=terway-rs%2Ftoken&Tag.2.Value=tok%201&VSwitchId=vsw-1",
        ),
        (
            create_eni(R, &few),
            "ClientToken=tok-1&InstanceType=Secondary&RegionId=cn-hangzhou&SecurityGroupIds.1=sg-1\
             &SecurityGroupIds.2=sg-2&VSwitchId=vsw-1",
        ),
        (attach_eni(R, &eni, &instance), "InstanceId=i-1&NetworkInterfaceId=eni-1&RegionId=cn-hangzhou"),
        (detach_eni(R, &eni, &instance), "InstanceId=i-1&NetworkInterfaceId=eni-1&RegionId=cn-hangzhou"),
        (delete_eni(R, &eni), "NetworkInterfaceId=eni-1&RegionId=cn-hangzhou"),
        (
            describe_enis(R, &ids, None),
            "MaxResults=100&NetworkInterfaceId.1=eni-1&NetworkInterfaceId.2=eni-2&RegionId=cn-hangzhou",
        ),
        (
            describe_enis(R, &on, Some("n=")),
            "InstanceId=i-1&MaxResults=100&NextToken=n%3D&RegionId=cn-hangzhou",
        ),
        (
            describe_enis(R, &EniFilter::Ours, None),
            "MaxResults=100&RegionId=cn-hangzhou&Tag.1.Key=creator&Tag.1.Value=terway",
        ),
        (
            describe_enis(R, &of, None),
            "MaxResults=100&RegionId=cn-hangzhou&Tag.1.Key=creator&Tag.1.Value=terway\
             &Tag.2.Key=terway-rs%2Finstance-id&Tag.2.Value=i-1",
        ),
        (
            assign_ipv4(R, &three),
            "ClientToken=tok-1&NetworkInterfaceId=eni-1&RegionId=cn-hangzhou&SecondaryPrivateIpAddressCount=3",
        ),
        (
            assign_ipv4(R, &prefix),
            "ClientToken=tok-1&Ipv4PrefixCount=1&NetworkInterfaceId=eni-1&RegionId=cn-hangzhou",
        ),
        (
            unassign_ipv4(R, &eni, &set),
            "Ipv4Prefix.1=10.0.0.16%2F28&NetworkInterfaceId=eni-1&PrivateIpAddress.1=10.0.0.1\
             &PrivateIpAddress.2=10.0.0.2&RegionId=cn-hangzhou",
        ),
        (
            assign_ipv6(R, &six),
            "ClientToken=tok-1&Ipv6AddressCount=2&NetworkInterfaceId=eni-1&RegionId=cn-hangzhou",
        ),
        (
            unassign_ipv6(R, &eni, &set),
            "Ipv6Address.1=2001%3Adb8%3A%3A1&NetworkInterfaceId=eni-1&RegionId=cn-hangzhou",
        ),
        (describe_instance_type(R, &kind), "InstanceTypes.1=ecs.g7.xlarge&RegionId=cn-hangzhou"),
        (
            describe_security_groups(R, &groups),
            "PageSize=50&RegionId=cn-hangzhou&SecurityGroupIds=%5B%22sg-1%22%2C%22sg-2%22%5D",
        ),
        (describe_vswitches(R, &one, None), "PageNumber=1&PageSize=50&RegionId=cn-hangzhou&VSwitchId=vsw-1"),
        (describe_vswitches(R, &all, Some("2")), "PageNumber=2&PageSize=50&RegionId=cn-hangzhou&VpcId=vpc-1"),
        (describe_route_tables(R, &vpc, None), "PageNumber=1&PageSize=50&RegionId=cn-hangzhou&VpcId=vpc-1"),
        (
            describe_route_entries(R, &table, Some("next")),
            "MaxResult=100&NextToken=next&RegionId=cn-hangzhou&RouteTableId=vtb-1",
        ),
        (
            create_route_entry(R, &route),
            "ClientToken=tok-1&DestinationCidrBlock=10.1.0.0%2F24&NextHopId=eni-1&NextHopType=NetworkInterface\
             &RegionId=cn-hangzhou&RouteTableId=vtb-1",
        ),
        (delete_route_entry(R, &entry), "RegionId=cn-hangzhou&RouteEntryId=rte-1"),
    ];
    for (request, query) in &golden {
        assert_eq!(request.query(), *query, "{}", request.action());
    }
    for action in Action::ALL {
        assert!(
            golden.iter().any(|(request, _)| request.action() == *action),
            "{action} has no golden query"
        );
    }
    let query = describe_security_groups(R, &many).query();
    assert!(query.contains("MaxResults=100") && !query.contains("PageSize"), "{query}");
}

#[test]
fn a_request_is_signed_over_exactly_what_is_sent() {
    let endpoint: Endpoint = "http://127.0.0.1:8080".parse().expect("an endpoint");
    let eni = EniId::from("eni-1");
    let query = delete_eni(R, &eni).query();
    let action = Action::DeleteNetworkInterface;
    let request = signed(&endpoint, action, &query, &key(), "2026-01-01T00:00:00Z", "0123").expect("fine");
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri().to_string(), format!("http://127.0.0.1:8080/?{query}"));
    assert!(request.body().is_empty());
    let sent: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
        .filter(|(name, _)| *name == "host" || name.starts_with("x-acs-"))
        .collect();
    let mut sorted = sent.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            ("host", "127.0.0.1:8080"),
            ("x-acs-action", "DeleteNetworkInterface"),
            ("x-acs-content-sha256", sign::EMPTY_BODY),
            ("x-acs-date", "2026-01-01T00:00:00Z"),
            ("x-acs-security-token", "hidden-token"),
            ("x-acs-signature-nonce", "0123"),
            ("x-acs-version", "2014-05-26"),
        ]
    );
    let signable = Signable {
        method: "POST",
        path: "/",
        query: request.uri().query().expect("a query"),
        headers: &sorted,
        payload_hash: sign::EMPTY_BODY,
    };
    let authorization = signable.authorization("test-key", "hidden-secret");
    assert_eq!(request.headers()[AUTHORIZATION], authorization.as_str());
    assert_eq!(request.headers()[ACCEPT_ENCODING], "gzip");
    // Headers of a request are printed by whoever debugs it.
    let shown = format!("{request:?}");
    assert!(!shown.contains("hidden-token") && !shown.contains("Signature="), "{shown}");
}

#[test]
fn without_a_token_there_is_no_header_for_one_and_a_token_with_a_newline_is_an_error() {
    let endpoint: Endpoint = "ecs.example.com".parse().expect("an endpoint");
    let sign = |credentials: &Credentials| {
        signed(&endpoint, Action::DescribeVSwitches, "", credentials, "2026-01-01T00:00:00Z", "n")
    };
    let plain = sign(&Credentials { token: None, ..key() }).expect("fine");
    assert!(!plain.headers().contains_key("x-acs-security-token"));
    assert_eq!(plain.headers()["x-acs-version"], "2016-04-28");
    assert!(sign(&Credentials { token: Some(Secret::new("a\nb")), ..key() }).is_err());
}
