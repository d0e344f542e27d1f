//! Instance metadata, as the agent's host network reads it.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use terway_sim::cloud::MetadataFault;

use super::client::{ECS, Server, Signer, exchange, within};

async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(path).header("host", "100.100.100.200");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::new()).expect("well formed");
    let answer = exchange(server.metadata, request).await.expect("there is an answer");
    (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).expect("a text"))
}

async fn read(server: &Server, path: &str) -> String {
    let path = format!("/latest/meta-data/{path}");
    let (status, text) = ask(server, Method::GET, &path, &[("x-terway-instance", "i-sim-1")]).await;
    assert_eq!(status, 200, "{path}: {text}");
    text
}

#[tokio::test]
async fn an_instance_reads_who_it_is_and_what_it_has() {
    let server = Server::start().await;
    for (path, expected) in [
        ("instance-id", "i-sim-1"),
        ("instance/instance-type", "ecs.g7.xlarge"),
        ("region-id", "cn-sim"),
        ("zone-id", "cn-sim-a"),
        ("vpc-id", "vpc-sim"),
        ("vpc-cidr-block", "10.0.0.0/8"),
        ("vswitch-id", "vsw-sim-a"),
        ("vswitch-cidr-block", "10.0.0.0/20"),
        ("mac", "00:16:3e:00:00:01"),
        ("network/interfaces/macs/", "00:16:3e:00:00:01/"),
        ("network/interfaces/macs", "00:16:3e:00:00:01/"),
        ("instance/", "instance-type"),
        ("network/", "interfaces/"),
        ("ram/security-credentials/", "terway-sim"),
    ] {
        assert_eq!(read(&server, path).await, expected, "{path}");
    }
    for entry in read(&server, "").await.lines() {
        read(&server, entry).await;
    }
}

#[tokio::test]
async fn each_nic_tells_its_addresses_and_where_it_is() {
    let server = Server::start().await;
    let create = [("VSwitchId", "vsw-sim-a"), ("SecurityGroupId", "sg-sim"), ("Ipv6AddressCount", "2")];
    let eni = server.ok(ECS, "CreateNetworkInterface", &create).await;
    let id = eni["NetworkInterfaceId"].as_str().expect("an id");
    let attach = [("NetworkInterfaceId", id), ("InstanceId", "i-sim-1")];
    server.ok(ECS, "AttachNetworkInterface", &attach).await;
    within(async { while read(&server, "network/interfaces/macs/").await.lines().count() < 2 {} }).await;
    let more = [("NetworkInterfaceId", id), ("SecondaryPrivateIpAddressCount", "1")];
    server.ok(ECS, "AssignPrivateIpAddresses", &more).await;
    let nic = format!("network/interfaces/macs/{}", eni["MacAddress"].as_str().expect("a MAC"));
    for (name, expected) in [
        ("network-interface-id", id),
        ("primary-ip-address", "10.0.0.3"),
        ("private-ipv4s", "[\"10.0.0.3\",\"10.0.0.4\"]"),
        ("ipv6s", "[2408:4005:3a0:ff00::2, 2408:4005:3a0:ff00::3]"),
        ("gateway", "10.0.15.253"),
        ("ipv6-gateway", "2408:4005:3a0:ff00::1"),
        ("netmask", "255.255.240.0"),
        ("vswitch-id", "vsw-sim-a"),
        ("vswitch-cidr-block", "10.0.0.0/20"),
        ("vswitch-ipv6-cidr-block", "2408:4005:3a0:ff00::/64"),
        ("vpc-id", "vpc-sim"),
        ("vpc-cidr-block", "10.0.0.0/8"),
    ] {
        assert_eq!(read(&server, &format!("{nic}/{name}")).await, expected, "{name}");
    }
    assert_eq!(read(&server, &format!("{nic}/")).await.lines().count(), 12);
    // One without IPv6 addresses has no list of them.
    let primary = "/instances/i-sim-1/latest/meta-data/network/interfaces/macs/00:16:3e:00:00:01/ipv6s";
    assert_eq!(ask(&server, Method::GET, primary, &[]).await.0, 404);
}

#[tokio::test]
async fn an_instance_is_named_by_header_or_by_path() {
    let server = Server::start().await;
    let path = "/instances/i-sim-3/2016-01-01/meta-data/zone-id";
    assert_eq!(ask(&server, Method::GET, path, &[]).await, (200, "cn-sim-b".to_owned()));
    let path = "/latest/meta-data/zone-id";
    let (status, text) = ask(&server, Method::GET, path, &[]).await;
    assert!(status == 400 && text.contains("x-terway-instance"), "{status} {text}");
    let (status, text) = ask(&server, Method::GET, path, &[("x-terway-instance", "i-gone")]).await;
    assert!(status == 404 && text.contains("i-gone"), "{status} {text}");
    let (status, _) =
        ask(&server, Method::GET, "/latest/meta-data/zone", &[("x-terway-instance", "i-sim-1")]).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn in_the_hardened_mode_nothing_is_told_without_a_token() {
    let server = Server::start().await;
    let (path, token_path) =
        ("/instances/i-sim-1/latest/meta-data/mac", "/instances/i-sim-1/latest/api/token");
    let ttl = "x-aliyun-ecs-metadata-token-ttl-seconds";
    let shown = "x-aliyun-ecs-metadata-token";
    server.endpoint.require_metadata_token(true);
    assert_eq!(ask(&server, Method::GET, path, &[]).await.0, 403);
    for bad in ["0", "21601", "soon"] {
        assert_eq!(ask(&server, Method::PUT, token_path, &[(ttl, bad)]).await.0, 400, "{bad}");
    }
    assert_eq!(ask(&server, Method::PUT, token_path, &[]).await.0, 400);
    assert_eq!(ask(&server, Method::GET, token_path, &[(ttl, "60")]).await.0, 405);
    let (status, token) = ask(&server, Method::PUT, token_path, &[(ttl, "60")]).await;
    assert_eq!(status, 200, "{token}");
    assert_eq!(ask(&server, Method::GET, path, &[(shown, &token)]).await.0, 200);
    assert_eq!(ask(&server, Method::GET, path, &[(shown, "made-up")]).await.0, 401);
    let other = "/instances/i-sim-2/latest/meta-data/mac";
    assert_eq!(ask(&server, Method::GET, other, &[(shown, &token)]).await.0, 401, "it is another's");
    server.clock.step(61_000);
    assert_eq!(ask(&server, Method::GET, path, &[(shown, &token)]).await.0, 401, "it has ended");
    server.endpoint.require_metadata_token(false);
    assert_eq!(ask(&server, Method::GET, path, &[]).await.0, 200);
    assert_eq!(ask(&server, Method::GET, path, &[(shown, &token)]).await.0, 401, "a bad one is never good");
}

#[tokio::test]
async fn the_role_gives_out_keys_that_the_api_takes() {
    let server = Server::start().await;
    let text = read(&server, "ram/security-credentials/terway-sim").await;
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&told["Code"], &told["Expiration"]), (&"Success".into(), &"2026-01-01T06:00:00Z".into()));
    let mut signer = Signer::new(&server);
    let text = |name: &str| told[name].as_str().expect("a text").to_owned();
    signer.key.id = text("AccessKeyId");
    signer.key.secret = text("AccessKeySecret");
    signer.key.token = Some(text("SecurityToken"));
    // Its own limits, which were changed, are told only to the instance itself.
    let limits = terway_core::limits::InstanceLimits::new(2, 3, 0);
    server.endpoint.cloud().limit_change(&"i-sim-1".into(), limits);
    let types = [("InstanceTypes.1", "ecs.g7.xlarge")];
    let (_, own) = server.send(signer.request(ECS, "DescribeInstanceTypes", &types)).await;
    assert_eq!(own["InstanceTypes"]["InstanceType"][0]["EniQuantity"], 2, "{own}");
    let operators = server.ok(ECS, "DescribeInstanceTypes", &types).await;
    assert_eq!(operators["InstanceTypes"]["InstanceType"][0]["EniQuantity"], 4);
    let (status, _) =
        ask(&server, Method::GET, "/instances/i-sim-1/latest/meta-data/ram/security-credentials/root", &[])
            .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_host_that_does_not_answer_says_nothing() {
    let server = Server::start().await;
    let cloud = server.endpoint.cloud();
    let fault = MetadataFault { unreachable: true, ..MetadataFault::default() };
    cloud.set_metadata_fault(&"i-sim-1".into(), fault);
    let request =
        Request::get("/instances/i-sim-1/latest/meta-data/mac").body(Bytes::new()).expect("well formed");
    let error = exchange(server.metadata, request).await.expect_err("nothing comes");
    assert!(error.is_incomplete_message(), "{error:?}");
    cloud.set_metadata_fault(&"i-sim-1".into(), MetadataFault { empty: true, ..MetadataFault::default() });
    assert_eq!(read(&server, "network/interfaces/macs/").await, "");
    assert_eq!(ask(&server, Method::GET, "/instances/i-sim-2/latest/meta-data/mac", &[]).await.0, 200);
}
