//! Every action: the documented fields when it succeeds, the documented code when it does not.

use serde_json::Value;
use terway_core::cloud::Action;

use super::client::{ECS, Server, VPC, within};

/// Whether a value has a field at a path like `Xs.X[].Id`; lists must not be empty.
fn has(value: &Value, path: &str) -> bool {
    let Some((head, rest)) = path.split_once('.') else { return field(value, path).is_some() };
    field(value, head).is_some_and(|inner| has(inner, rest))
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match name.strip_suffix("[]") {
        Some(name) => value.get(name)?.as_array()?.first(),
        None => value.get(name),
    }
}

fn assert_has(action: &str, value: &Value, paths: &[&str]) {
    for path in paths.iter().chain(&["RequestId"]) {
        assert!(has(value, path), "{action} has no {path}: {value:#}");
    }
}

const ENI: &[&str] = &[
    "NetworkInterfaceId",
    "Status",
    "Type",
    "VpcId",
    "VSwitchId",
    "ZoneId",
    "MacAddress",
    "PrivateIpAddress",
    "NetworkInterfaceName",
    "Description",
    "ResourceGroupId",
    "ServiceManaged",
    "SecurityGroupIds.SecurityGroupId[]",
    "PrivateIpSets.PrivateIpSet[].PrivateIpAddress",
    "PrivateIpSets.PrivateIpSet[].Primary",
    "Ipv6Sets.Ipv6Set[].Ipv6Address",
    "Ipv4PrefixSets.Ipv4PrefixSet",
    "Ipv6PrefixSets.Ipv6PrefixSet",
    "Tags.Tag[].TagKey",
    "Tags.Tag[].TagValue",
];

#[tokio::test]
async fn every_action_answers_with_the_documented_fields() {
    let server = Server::start().await;
    let eni = server
        .ok(
            ECS,
            "CreateNetworkInterface",
            &[
                ("VSwitchId", "vsw-sim-a"),
                ("SecurityGroupIds.1", "sg-sim"),
                ("SecondaryPrivateIpAddressCount", "1"),
                ("Ipv6AddressCount", "1"),
                ("Tag.1.Key", "creator"),
                ("Tag.1.Value", "terway"),
                ("NetworkInterfaceName", "eth1"),
                ("Description", "for a test"),
            ],
        )
        .await;
    assert_has("CreateNetworkInterface", &eni, ENI);
    assert_eq!((&eni["NetworkInterfaceName"], &eni["Description"]), (&"eth1".into(), &"for a test".into()));
    let id = eni["NetworkInterfaceId"].as_str().expect("an id");
    let here = [("NetworkInterfaceId", id), ("InstanceId", "i-sim-1")];
    assert_has("AttachNetworkInterface", &server.ok(ECS, "AttachNetworkInterface", &here).await, &[]);
    settled(&server, id, "InUse").await;
    let assigned =
        server.ok(ECS, "AssignPrivateIpAddresses", &[here[0], ("SecondaryPrivateIpAddressCount", "2")]).await;
    assert_has(
        "AssignPrivateIpAddresses",
        &assigned,
        &[
            "AssignedPrivateIpAddressesSet.NetworkInterfaceId",
            "AssignedPrivateIpAddressesSet.PrivateIpSet.PrivateIpAddress[]",
            "AssignedPrivateIpAddressesSet.Ipv4PrefixSet.Ipv4Prefixes",
        ],
    );
    let prefix = server.ok(ECS, "AssignPrivateIpAddresses", &[here[0], ("Ipv4PrefixCount", "1")]).await;
    let prefixes = "AssignedPrivateIpAddressesSet.Ipv4PrefixSet.Ipv4Prefixes[]";
    assert_has("AssignPrivateIpAddresses", &prefix, &[prefixes]);
    let v6 = server.ok(ECS, "AssignIpv6Addresses", &[here[0], ("Ipv6AddressCount", "1")]).await;
    let paths = ["NetworkInterfaceId", "Ipv6Sets.Ipv6Address[]", "Ipv6PrefixSets.Ipv6Prefix"];
    assert_has("AssignIpv6Addresses", &v6, &paths);

    let page = server.ok(ECS, "DescribeNetworkInterfaces", &[("NetworkInterfaceId.1", id)]).await;
    assert_has("DescribeNetworkInterfaces", &page, &["TotalCount", "PageNumber", "PageSize", "NextToken"]);
    let row = &page["NetworkInterfaceSets"]["NetworkInterfaceSet"][0];
    for path in ENI.iter().chain(&[
        "InstanceId",
        "CreationTime",
        "NetworkInterfaceTrafficMode",
        "Attachment.InstanceId",
        "AssociatedPublicIp",
    ]) {
        assert!(has(row, path), "a row has no {path}: {row:#}");
    }
    let ip = assigned["AssignedPrivateIpAddressesSet"]["PrivateIpSet"]["PrivateIpAddress"][0].as_str();
    let gone = [here[0], ("PrivateIpAddress.1", ip.expect("an address"))];
    assert_has("UnassignPrivateIpAddresses", &server.ok(ECS, "UnassignPrivateIpAddresses", &gone).await, &[]);
    let gone = [here[0], ("Ipv6Address.1", v6["Ipv6Sets"]["Ipv6Address"][0].as_str().expect("an address"))];
    assert_has("UnassignIpv6Addresses", &server.ok(ECS, "UnassignIpv6Addresses", &gone).await, &[]);
    assert_has("DetachNetworkInterface", &server.ok(ECS, "DetachNetworkInterface", &here).await, &[]);
    settled(&server, id, "Available").await;
    assert_has("DeleteNetworkInterface", &server.ok(ECS, "DeleteNetworkInterface", &here[..1]).await, &[]);

    let types = server.ok(ECS, "DescribeInstanceTypes", &[("InstanceTypes.1", "ecs.g7.xlarge")]).await;
    assert_has("DescribeInstanceTypes", &types, &["NextToken"]);
    for name in [
        "InstanceTypeId",
        "InstanceTypeFamily",
        "EniQuantity",
        "EniTotalQuantity",
        "EniTrunkSupported",
        "EniPrivateIpAddressQuantity",
        "EniIpv6AddressQuantity",
    ] {
        assert_has("DescribeInstanceTypes", &types, &[&format!("InstanceTypes.InstanceType[].{name}")]);
    }
    let groups = server.ok(ECS, "DescribeSecurityGroups", &[("SecurityGroupIds", "[\"sg-sim\"]")]).await;
    assert_has("DescribeSecurityGroups", &groups, &["TotalCount", "PageNumber", "PageSize"]);
    for name in ["SecurityGroupId", "SecurityGroupName", "VpcId", "Tags.Tag"] {
        assert_has("DescribeSecurityGroups", &groups, &[&format!("SecurityGroups.SecurityGroup[].{name}")]);
    }
    let vswitches = server.ok(VPC, "DescribeVSwitches", &[("VSwitchId", "vsw-sim-a")]).await;
    assert_has("DescribeVSwitches", &vswitches, &["TotalCount", "PageNumber", "PageSize"]);
    for name in [
        "VSwitchId",
        "VpcId",
        "ZoneId",
        "CidrBlock",
        "Ipv6CidrBlock",
        "Status",
        "AvailableIpAddressCount",
        "VSwitchName",
        "IsDefault",
    ] {
        assert_has("DescribeVSwitches", &vswitches, &[&format!("VSwitches.VSwitch[].{name}")]);
    }
    routes(&server).await;
}

async fn routes(server: &Server) {
    let tables = server.ok(VPC, "DescribeRouteTableList", &[("VpcId", "vpc-sim")]).await;
    assert_has("DescribeRouteTableList", &tables, &["Code", "Message", "Success", "TotalCount", "PageSize"]);
    for name in [
        "RouteTableId",
        "RouteTableType",
        "RouterId",
        "RouterType",
        "VpcId",
        "Status",
        "VSwitchIds.VSwitchId",
    ] {
        assert_has(
            "DescribeRouteTableList",
            &tables,
            &[&format!("RouterTableList.RouterTableListType[].{name}")],
        );
    }
    let route = [
        ("RouteTableId", "vtb-sim"),
        ("DestinationCidrBlock", "172.20.1.0/24"),
        ("NextHopType", "Instance"),
        ("NextHopId", "i-sim-1"),
    ];
    let made = server.ok(VPC, "CreateRouteEntry", &route).await;
    assert_has("CreateRouteEntry", &made, &["RouteEntryId"]);
    let id = made["RouteEntryId"].as_str().expect("an id");
    let custom = [route[0], ("RouteEntryType", "Custom")];
    let entries = within(async {
        loop {
            let entries = server.ok(VPC, "DescribeRouteEntryList", &custom).await;
            if entries["RouteEntrys"]["RouteEntry"][0]["Status"] == "Available" {
                break entries;
            }
        }
    })
    .await;
    assert_has("DescribeRouteEntryList", &entries, &["NextToken"]);
    for name in [
        "RouteEntryId",
        "RouteEntryName",
        "RouteTableId",
        "DestinationCidrBlock",
        "IpVersion",
        "Type",
        "Status",
        "NextHops.NextHop[].NextHopType",
        "NextHops.NextHop[].NextHopId",
    ] {
        assert_has("DescribeRouteEntryList", &entries, &[&format!("RouteEntrys.RouteEntry[].{name}")]);
    }
    assert_has("DeleteRouteEntry", &server.ok(VPC, "DeleteRouteEntry", &[("RouteEntryId", id)]).await, &[]);
}

/// Waits until an ENI is in a state.
async fn settled(server: &Server, id: &str, status: &str) {
    within(async {
        while server.endpoint.cloud().eni(&id.into()).is_none_or(|eni| format!("{:?}", eni.status) != status)
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_action_is_one_call_of_the_cloud_whatever_the_size_of_its_page() {
    let server = Server::start().await;
    let started = |action: Action| {
        server.endpoint.cloud().counters().calls.get(&action).map_or(0, |counts| counts.started)
    };
    for (version, action, params) in [
        (ECS, Action::DescribeInstanceTypes, &[("MaxResults", "5")][..]),
        (ECS, Action::DescribeSecurityGroups, &[]),
        (ECS, Action::DescribeNetworkInterfaces, &[("PageSize", "2")]),
        (VPC, Action::DescribeVSwitches, &[("PageSize", "1")]),
        (VPC, Action::DescribeRouteTableList, &[]),
        (VPC, Action::DescribeRouteEntryList, &[("RouteTableId", "vtb-sim"), ("MaxResult", "1")]),
    ] {
        server.ok(version, action.name(), params).await;
        assert_eq!(started(action), 1, "{action}");
    }
    // The entry is found by what it does, in the same call.
    let route =
        [("RouteTableId", "vtb-sim"), ("DestinationCidrBlock", "172.20.1.0/24"), ("NextHopId", "i-sim-1")];
    let (_, code) = server.refused(VPC, "DeleteRouteEntry", &route).await;
    assert_eq!((code.as_str(), started(Action::DeleteRouteEntry)), ("InvalidRouteEntry.NotFound", 1));
    assert_eq!(started(Action::DescribeRouteEntryList), 1);
}

#[tokio::test]
async fn pages_of_every_kind_hold_each_row_once() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    let mut next = String::new();
    within(async {
        loop {
            let mut params = vec![("MaxResults", "3")];
            if !next.is_empty() {
                params.push(("NextToken", next.as_str()));
            }
            let page = server.ok(ECS, "DescribeNetworkInterfaces", &params).await;
            let rows = page["NetworkInterfaceSets"]["NetworkInterfaceSet"].as_array().expect("rows");
            ids.extend(rows.iter().map(|row| row["NetworkInterfaceId"].as_str().expect("an id").to_owned()));
            next = page["NextToken"].as_str().expect("a text").to_owned();
            if next.is_empty() {
                break;
            }
        }
    })
    .await;
    assert_eq!(ids, ["eni-00000001", "eni-00000002", "eni-00000003", "eni-00000004"]);
    for (number, rows) in [("1", 3), ("2", 1), ("3", 0)] {
        let params = [("PageNumber", number), ("PageSize", "3")];
        let page = server.ok(ECS, "DescribeNetworkInterfaces", &params).await;
        let found = page["NetworkInterfaceSets"]["NetworkInterfaceSet"].as_array().expect("rows").len();
        assert_eq!((found, page["TotalCount"].as_u64()), (rows, Some(4)), "page {number}");
        assert_eq!(page["NextToken"], "");
    }
    for name in ["one", "two"] {
        server.endpoint.cloud().add_security_group(format!("sg-{name}"), name);
    }
    let page = server.ok(ECS, "DescribeSecurityGroups", &[("MaxResults", "2")]).await;
    assert_eq!((&page["TotalCount"], &page["NextToken"]), (&3.into(), &"2".into()));
    let rest = server.ok(ECS, "DescribeSecurityGroups", &[("MaxResults", "2"), ("NextToken", "2")]).await;
    assert_eq!(
        (&rest["SecurityGroups"]["SecurityGroup"][0]["SecurityGroupId"], &rest["NextToken"]),
        (&"sg-two".into(), &"".into())
    );
    let page = server.ok(VPC, "DescribeVSwitches", &[("PageNumber", "2"), ("PageSize", "2")]).await;
    assert_eq!(
        (page["VSwitches"]["VSwitch"].as_array().map(Vec::len), &page["TotalCount"]),
        (Some(1), &3.into())
    );
    let types = server.ok(ECS, "DescribeInstanceTypes", &[("InstanceTypeFamily", "ecs.g6nv")]).await;
    assert_eq!(types["InstanceTypes"]["InstanceType"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn refusals_have_the_documented_code_and_status() {
    let server = Server::start().await;
    let create = [("VSwitchId", "vsw-sim-a"), ("SecurityGroupId", "sg-sim")];
    let eni = server.ok(ECS, "CreateNetworkInterface", &create).await;
    let eni = eni["NetworkInterfaceId"].as_str().expect("an id");
    let with = |more: &[(&'static str, &'static str)]| [&create[..], more].concat();
    for (version, action, params, status, code) in [
        (ECS, "CreateNetworkInterface", vec![("SecurityGroupId", "sg-sim")], 400, "MissingParameter"),
        (
            ECS,
            "CreateNetworkInterface",
            vec![("VSwitchId", "vsw-x"), create[1]],
            404,
            "InvalidVSwitchId.NotFound",
        ),
        (
            ECS,
            "CreateNetworkInterface",
            vec![create[0], ("SecurityGroupId", "sg-x")],
            404,
            "InvalidSecurityGroupId.NotFound",
        ),
        (
            ECS,
            "CreateNetworkInterface",
            with(&[("SecurityGroupIds.1", "sg-sim")]),
            400,
            "InvalidParameter.Conflict",
        ),
        (ECS, "CreateNetworkInterface", with(&[("Tag.1.Key", "acs:x")]), 400, "InvalidTagKey.Malformed"),
        (
            ECS,
            "CreateNetworkInterface",
            with(&[("Tag.1.Key", "a"), ("Tag.2.Key", "a")]),
            400,
            "Duplicate.TagKey",
        ),
        (
            ECS,
            "CreateNetworkInterface",
            with(&[("PrimaryIpAddress", "10.0.0.9")]),
            400,
            "UnsupportedParameter",
        ),
        (
            ECS,
            "CreateNetworkInterface",
            with(&[("SecondaryPrivateIpAddressCount", "50")]),
            400,
            "InvalidParameter",
        ),
        (
            ECS,
            "CreateNetworkInterface",
            vec![("VSwitchId", "vsw-sim-c"), create[1], ("Ipv6AddressCount", "1")],
            403,
            "InvalidVSwitch.Ipv6NotTurnOn",
        ),
        (
            ECS,
            "CreateNetworkInterface",
            vec![("VSwitchId", "vsw-sim-c"), create[1], ("SecondaryPrivateIpAddressCount", "40")],
            403,
            "InvalidVSwitchId.IpNotEnough",
        ),
        (
            ECS,
            "AttachNetworkInterface",
            vec![("NetworkInterfaceId", eni), ("InstanceId", "i-x")],
            404,
            "InvalidEcsId.NotFound",
        ),
        (
            ECS,
            "AttachNetworkInterface",
            vec![("NetworkInterfaceId", eni), ("InstanceId", "i-sim-3")],
            403,
            "InvalidOperation.AvailabilityZoneMismatch",
        ),
        (
            ECS,
            "DetachNetworkInterface",
            vec![("NetworkInterfaceId", "eni-00000001"), ("InstanceId", "i-sim-1")],
            400,
            "InvalidOperation.DetachPrimaryEniNotAllowed",
        ),
        (
            ECS,
            "DetachNetworkInterface",
            vec![("NetworkInterfaceId", eni), ("InstanceId", "i-sim-1")],
            400,
            "InvalidOperation.InvalidEniState",
        ),
        (
            ECS,
            "DeleteNetworkInterface",
            vec![("NetworkInterfaceId", "eni-00000001")],
            403,
            "InvalidOperation.InvalidEniType",
        ),
        (ECS, "AssignPrivateIpAddresses", vec![("NetworkInterfaceId", eni)], 400, "MissingParameter"),
        (
            ECS,
            "AssignPrivateIpAddresses",
            vec![
                ("NetworkInterfaceId", eni),
                ("SecondaryPrivateIpAddressCount", "1"),
                ("Ipv4PrefixCount", "1"),
            ],
            400,
            "InvalidParameter.Conflict",
        ),
        (
            ECS,
            "AssignPrivateIpAddresses",
            vec![("NetworkInterfaceId", "eni-00000003"), ("SecondaryPrivateIpAddressCount", "6")],
            403,
            "InvalidOperation.Ipv4CountExceeded",
        ),
        (
            ECS,
            "UnassignPrivateIpAddresses",
            vec![("NetworkInterfaceId", eni), ("PrivateIpAddress.1", "10.0.9.9")],
            403,
            "InvalidIp.IpUnassigned",
        ),
        (
            ECS,
            "UnassignPrivateIpAddresses",
            vec![("NetworkInterfaceId", eni), ("PrivateIpAddress.1", "10.0.9")],
            400,
            "InvalidParameter",
        ),
        (ECS, "DescribeNetworkInterfaces", vec![("Status", "Gone")], 400, "InvalidParameter"),
        (ECS, "DescribeNetworkInterfaces", vec![("MaxResults", "501")], 400, "InvalidParameter"),
        (ECS, "DescribeSecurityGroups", vec![("SecurityGroupIds", "sg-1")], 400, "InvalidParameter"),
        (VPC, "DescribeRouteEntryList", vec![("RouteTableId", "vtb-x")], 404, "InvalidRouteTableId.NotFound"),
        (
            VPC,
            "CreateRouteEntry",
            vec![
                ("RouteTableId", "vtb-sim"),
                ("DestinationCidrBlock", "10.0.0.0/24"),
                ("NextHopId", "i-sim-1"),
            ],
            400,
            "InvalidCidrBlock",
        ),
        (
            VPC,
            "CreateRouteEntry",
            vec![("RouteTableId", "vtb-sim"), ("DestinationCidrBlock", "here"), ("NextHopId", "i-sim-1")],
            400,
            "InvalidCidrBlock.Malformed",
        ),
        (VPC, "DeleteRouteEntry", vec![("RouteEntryId", "rte-x")], 400, "InvalidRouteEntryId.NotFound"),
        (
            VPC,
            "DeleteRouteEntry",
            vec![("RouteEntryId", "rte-00000001")],
            400,
            "OperationDenied.DeleteManagedRouteEntry",
        ),
    ] {
        let answer = server.refused(version, action, &params).await;
        assert_eq!(answer, (status, code.to_owned()), "{action} {params:?}");
    }
    let elsewhere = [("RegionId", "cn-hangzhou")];
    let (status, body) = server.call(ECS, "DescribeNetworkInterfaces", &elsewhere).await;
    assert_eq!((status.as_u16(), &body["Code"]), (404, &"InvalidRegionId.NotFound".into()));
}
