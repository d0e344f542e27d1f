//! A reply of each action as the documentation shows it, with fields that we do not read.
//!
//! Also the seeds of the fuzz targets.

/// `CreateNetworkInterface`
pub(crate) const CREATE_ENI: &str = r#"{
    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "Status": "Available", "Type": "Secondary",
    "VpcId": "vpc-bp67acfmxazb4p", "VSwitchId": "vsw-bp1s5fnvk4gn2tws0", "ZoneId": "cn-hangzhou-g",
    "NetworkInterfaceId": "eni-bp125p95hhdhn3ot", "MacAddress": "00:16:3e:12:AB:cd",
    "PrivateIpAddress": "172.17.0.10", "NetworkInterfaceName": "", "Description": "", "OwnerId": "123456****",
    "ServiceID": 12, "ServiceManaged": false, "ResourceGroupId": "rg-2ze88m67qx5z",
    "SecurityGroupIds": {"SecurityGroupId": ["sg-bp1fg655nh68xyz9i"]},
    "PrivateIpSets": {"PrivateIpSet": [
        {"PrivateIpAddress": "172.17.0.10", "Primary": true},
        {"PrivateIpAddress": "172.17.0.11", "Primary": false}]},
    "Ipv6Sets": {"Ipv6Set": [{"Ipv6Address": "2001:db8:1234:1a00::1"}]},
    "Ipv4PrefixSets": {"Ipv4PrefixSet": [{"Ipv4Prefix": "172.17.0.32/28"}]},
    "Ipv6PrefixSets": {"Ipv6PrefixSet": []},
    "Tags": {"Tag": [{"TagKey": "creator", "TagValue": "terway"}, {"TagKey": "a", "TagValue": ""}]}
}"#;

/// An action that tells nothing but that it was done.
pub(crate) const DONE: &str = r#"{"RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E"}"#;

/// `DescribeNetworkInterfaces`: one in use, one without anything that may be absent.
pub(crate) const DESCRIBE_ENIS: &str = r#"{
    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "NextToken": "AAAAAdDWBF2", "TotalCount": 2,
    "PageNumber": 1, "PageSize": 10,
    "NetworkInterfaceSets": {"NetworkInterfaceSet": [
        {"NetworkInterfaceId": "eni-1", "Status": "InUse", "Type": "Secondary", "VpcId": "vpc-1",
         "VSwitchId": "vsw-1", "ZoneId": "cn-hangzhou-g", "MacAddress": "00:16:3e:12:34:56",
         "PrivateIpAddress": "172.17.0.10", "InstanceId": "", "CreationTime": "2019-12-25T12:31:31Z",
         "QueueNumber": 8, "NetworkInterfaceTrafficMode": "Standard", "ServiceManaged": true,
         "SecurityGroupIds": {"SecurityGroupId": ["sg-1"]},
         "PrivateIpSets": {"PrivateIpSet": [
            {"PrivateIpAddress": "172.17.0.11", "Primary": "false",
             "AssociatedPublicIp": {"PublicIpAddress": "116.62.0.1", "AllocationId": "null"}},
            {"PrivateIpAddress": "172.17.0.10", "Primary": "true"}]},
         "Attachment": {"InstanceId": "i-1", "TrunkNetworkInterfaceId": "", "DeviceIndex": 1, "NetworkCardIndex": 0},
         "AssociatedPublicIp": {}, "Tags": {"Tag": [{"TagKey": "k", "TagValue": "v"}]}},
        {"NetworkInterfaceId": "eni-2", "Status": "Available", "VSwitchId": "vsw-1",
         "MacAddress": "00:16:3e:12:34:57", "PrivateIpAddress": "172.17.0.20", "Attachment": {},
         "PrivateIpSets": {}, "Ipv6Sets": {}, "Ipv4PrefixSets": null, "Tags": ""}]}
}"#;

/// `AssignPrivateIpAddresses`
pub(crate) const ASSIGN_IPV4: &str = r#"{
    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E",
    "AssignedPrivateIpAddressesSet": {
        "NetworkInterfaceId": "eni-bp125p95hhdhn3ot",
        "PrivateIpSet": {"PrivateIpAddress": ["172.17.0.12", "172.17.0.13"]},
        "Ipv4PrefixSet": {"Ipv4Prefixes": ["172.17.0.48/28"]}}
}"#;

/// `AssignIpv6Addresses`
pub(crate) const ASSIGN_IPV6: &str = r#"{
    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "NetworkInterfaceId": "eni-bp125p95hhdhn3ot",
    "Ipv6Sets": {"Ipv6Address": ["2001:db8:1234:1a00::2"]}, "Ipv6PrefixSets": {"Ipv6Prefix": []}
}"#;

/// `DescribeInstanceTypes`, with numbers as text.
pub(crate) const DESCRIBE_INSTANCE_TYPES: &str = r#"{
    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "NextToken": "",
    "InstanceTypes": {"InstanceType": [
        {"InstanceTypeId": "ecs.g6.large", "EniQuantity": 2, "EniPrivateIpAddressQuantity": 6},
        {"InstanceTypeId": "ecs.g7.xlarge", "InstanceTypeFamily": "ecs.g7", "CpuCoreCount": 4, "MemorySize": 16.0,
         "EniQuantity": 4, "EniTotalQuantity": 20, "EniTrunkSupported": true, "EniPrivateIpAddressQuantity": "15",
         "EniIpv6AddressQuantity": 15, "NetworkCards": {"NetworkCardInfo": [{"NetworkCardIndex": 0}]}}]}
}"#;

/// `DescribeSecurityGroups`
pub(crate) const DESCRIBE_SECURITY_GROUPS: &str = r#"{
    "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "TotalCount": 2, "PageNumber": 1, "PageSize": 50,
    "RegionId": "cn-hangzhou",
    "SecurityGroups": {"SecurityGroup": [
        {"SecurityGroupId": "sg-2", "SecurityGroupName": "nodes", "VpcId": "vpc-1", "AvailableInstanceAmount": 0,
         "EcsCount": 0, "Tags": {"Tag": []}},
        {"SecurityGroupId": "sg-1", "VpcId": "vpc-1"}]}
}"#;

/// `DescribeVSwitches`: the second of three pages.
pub(crate) const DESCRIBE_VSWITCHES: &str = r#"{
    "RequestId": "9A572171-4E27-40D1-BD36-D26C9E71E29E", "TotalCount": 120, "PageNumber": 2, "PageSize": 50,
    "VSwitches": {"VSwitch": [
        {"VSwitchId": "vsw-25bcdxs7pv1", "VpcId": "vpc-257gcdcdq64", "ZoneId": "cn-beijing-a", "Status": "Available",
         "CidrBlock": "172.16.0.0/24", "Ipv6CidrBlock": "", "AvailableIpAddressCount": 1, "IsDefault": false,
         "VSwitchName": "", "CreationTime": "2018-01-18T12:43:57Z"}]}
}"#;

/// `DescribeRouteTableList`
pub(crate) const DESCRIBE_ROUTE_TABLES: &str = r#"{
    "RequestId": "DF72F7BB-5DFA-529C-887E-B0BB70D89C4F", "Code": "200", "Message": "successful", "Success": true,
    "TotalCount": 2, "PageNumber": 1, "PageSize": 50,
    "RouterTableList": {"RouterTableListType": [
        {"RouteTableId": "vtb-1", "RouteTableType": "System", "RouterId": "vrt-1", "RouterType": "VRouter",
         "VpcId": "vpc-1", "Status": "Available", "AssociateType": "VSwitch", "VSwitchIds": {"VSwitchId": []}},
        {"RouteTableId": "vtb-2", "RouteTableType": "Custom", "VpcId": "vpc-1",
         "VSwitchIds": {"VSwitchId": ["vsw-1", "vsw-2"]}}]}
}"#;

/// `DescribeRouteEntryList`: one of ours, the cloud's own, one that leads elsewhere.
pub(crate) const DESCRIBE_ROUTE_ENTRIES: &str = r#"{
    "RequestId": "DF72F7BB-5DFA-529C-887E-B0BB70D89C4F", "NextToken": "",
    "RouteEntrys": {"RouteEntry": [
        {"RouteEntryId": "rte-1", "RouteEntryName": "", "RouteTableId": "vtb-1", "IpVersion": "ipv4",
         "DestinationCidrBlock": "10.1.0.0/24", "Type": "Custom", "Status": "Available",
         "NextHops": {"NextHop": [{"NextHopType": "Instance", "NextHopId": "i-1", "Weight": 0, "Enabled": 1,
            "NextHopRegionId": "cn-hangzhou", "NextHopRelatedInfo": {}}]}},
        {"RouteEntryId": "rte-2", "RouteTableId": "vtb-1", "DestinationCidrBlock": "172.16.0.0/24",
         "Type": "System", "Status": "Available", "NextHops": {"NextHop": [{"NextHopType": "local", "NextHopId": ""}]}},
        {"RouteEntryId": "rte-3", "RouteTableId": "vtb-1", "DestinationCidrBlock": "192.0.2.1", "Type": "Custom",
         "Status": "Creating", "NextHops": {"NextHop": [{"NextHopType": "NatGateway", "NextHopId": "ngw-1"}]}}]}
}"#;

/// `CreateRouteEntry`
pub(crate) const CREATE_ROUTE_ENTRY: &str =
    r#"{"RequestId": "0ED8D006-F706-4D23-88ED-E11ED28DCAC0", "RouteEntryId": "rte-acfvgfsghfdd"}"#;

/// A refusal.
pub(crate) const REFUSAL: &str = r#"{
    "RequestId": "7463B73D-35CC-4D19-A010-6B8D65D242EF", "HostId": "ecs.cn-hangzhou.aliyuncs.com",
    "Code": "InvalidOperation.InvalidEniState", "Message": "The operation is not allowed in this state.",
    "Recommend": "https://api.alibabacloud.com/troubleshoot?q=InvalidOperation.InvalidEniState"
}"#;
