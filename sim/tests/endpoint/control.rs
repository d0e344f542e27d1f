//! The control API: what people do to the cloud from outside.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use terway_sim::cloud::{CloudModel, Span};

use super::client::{ECS, Server, Signer, connect, exchange, within};

async fn ask(server: &Server, method: Method, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("/_sim/{path}")).body(body.into());
    let answer = exchange(server.control, request.expect("well formed")).await.expect("there is an answer");
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).expect("answers are JSON"))
}

async fn post(server: &Server, path: &str, body: Value) -> (u16, Value) {
    ask(server, Method::POST, path, body.to_string()).await
}

async fn done(server: &Server, path: &str, body: Value) -> Value {
    let (status, told) = post(server, path, body).await;
    assert!(status == 200 || status == 201, "{path}: {status} {told}");
    told
}

async fn create(server: &Server, vswitch: &str) -> Result<String, (u16, String)> {
    let params = [("RegionId", "cn-sim"), ("VSwitchId", vswitch), ("SecurityGroupId", "sg-sim")];
    let (status, body) = server.call(ECS, "CreateNetworkInterface", &params).await;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if status.is_success() { Ok(text("NetworkInterfaceId")) } else { Err((status.as_u16(), text("Code"))) }
}

#[tokio::test]
async fn instances_come_change_and_go() {
    let server = Server::start().await;
    let new = json!({ "id": "i-new", "type": "ecs.g6.large", "vswitch": "vsw-sim-b" });
    let (status, told) = post(&server, "instances", new.clone()).await;
    assert_eq!((status, &told["addresses"]), (201, &json!(["10.0.16.2"])));
    assert_eq!(post(&server, "instances", new).await.0, 409, "the id is taken");
    let eni = create(&server, "vsw-sim-b").await.expect("made");
    done(&server, "instances/i-new/state", json!({ "state": "Stopping" })).await;
    let attach = [("NetworkInterfaceId", eni.as_str()), ("InstanceId", "i-new")];
    let refused = server.refused(ECS, "AttachNetworkInterface", &attach).await;
    assert_eq!(refused, (400, "InvalidOperation.InvalidEcsState".to_owned()));
    done(&server, "instances/i-new/state", json!({ "state": "Running" })).await;
    done(&server, "instances/i-new/limits", json!({ "enis": 1 })).await;
    let refused = server.refused(ECS, "AttachNetworkInterface", &attach).await;
    assert_eq!(refused, (403, "EniPerInstanceLimitExceeded".to_owned()));
    assert_eq!(ask(&server, Method::DELETE, "instances/i-new", "").await.0, 200);
    assert_eq!(ask(&server, Method::DELETE, "instances/i-new", "").await.0, 404);
    let refused = server.refused(ECS, "AttachNetworkInterface", &attach).await;
    assert_eq!(refused, (404, "InvalidEcsId.NotFound".to_owned()));
}

#[tokio::test]
async fn vswitches_run_out_and_get_their_addresses_back() {
    let server = Server::start().await;
    done(&server, "vswitches/vsw-sim-a/exhaust", json!({ "leave": 1 })).await;
    assert!(create(&server, "vsw-sim-a").await.is_ok());
    let refused = create(&server, "vsw-sim-a").await;
    assert_eq!(refused, Err((403, "InvalidVSwitchId.IpNotEnough".to_owned())));
    done(&server, "vswitches/vsw-sim-a/relieve", json!({})).await;
    assert!(create(&server, "vsw-sim-a").await.is_ok());
}

#[tokio::test]
async fn enis_are_taken_away_behind_everybodys_back() {
    let server = Server::start().await;
    let eni = create(&server, "vsw-sim-a").await.expect("made");
    let (status, told) = post(&server, &format!("enis/{eni}/detach"), json!({})).await;
    assert_eq!(status, 409, "it is attached to nothing: {told}");
    done(&server, &format!("enis/{eni}/delete"), json!({})).await;
    assert!(server.endpoint.cloud().eni(&eni.as_str().into()).is_none());
    assert_eq!(post(&server, "enis/eni-00000001/delete", json!({})).await.0, 404, "primary NICs stay");
}

#[tokio::test]
async fn faults_strike_until_they_are_over_or_healed() {
    let server = Server::start().await;
    let throttle = json!({
        "kind": "throttle", "code": "Throttling.Api", "for": "1h", "target": "action:CreateNetworkInterface",
    });
    let told = done(&server, "faults", throttle).await;
    let story = "0s throttle(code=Throttling.Api) on action:CreateNetworkInterface for 1h";
    assert_eq!(told["faults"], json!([story]));
    assert_eq!(create(&server, "vsw-sim-a").await, Err((400, "Throttling.Api".to_owned())));
    assert_eq!(ask(&server, Method::DELETE, "faults", "").await.0, 200);
    assert!(create(&server, "vsw-sim-a").await.is_ok());

    let several = json!([
        { "kind": "exhausted", "target": "vswitch:vsw-sim-b", "for": "1h" },
        { "kind": "metadata-empty", "target": "node:i-sim-1", "for": "1h" },
        { "kind": "limit-change", "target": "node:i-sim-2", "for": "1h" },
        { "kind": "denied", "at": "1h" },
    ]);
    done(&server, "faults", several).await;
    let refused = create(&server, "vsw-sim-b").await;
    assert_eq!(refused, Err((403, "InvalidVSwitchId.IpNotEnough".to_owned())));
    let enis = || server.endpoint.cloud().limits_of(&"i-sim-2".into()).map(|limits| limits.eni_quantity);
    assert_eq!(enis(), Some(7));
    assert_eq!(ask(&server, Method::DELETE, "faults", "").await.0, 200);
    within(async { while create(&server, "vsw-sim-b").await.is_err() {} }).await;
    assert_eq!(enis(), Some(8), "limits are given back with the addresses");
}

/// Without sockets: a paused clock does not wait for them.
#[tokio::test(start_paused = true)]
async fn a_fault_with_a_time_strikes_then_and_ends_by_itself() {
    let server = Server::start().await;
    let create = async || {
        let params = [("RegionId", "cn-sim"), ("VSwitchId", "vsw-sim-a"), ("SecurityGroupId", "sg-sim")];
        let request = Signer::new(&server).request(ECS, "CreateNetworkInterface", &params);
        server.endpoint.openapi(request).await.expect("there is an answer").status().as_u16()
    };
    let toml = "[[fault]]\nat = \"10s\"\nkind = \"denied\"\nfor = \"10s\"\n";
    let request = Request::post("/_sim/faults").header("content-type", "application/toml").body(toml.into());
    let answer = server.handle.answer(request.expect("well formed")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(create().await, 200);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(create().await, 403);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(create().await, 200);
}

#[tokio::test]
async fn complaints_name_the_field_and_what_is_allowed() {
    let server = Server::start().await;
    for (path, body, status, field, allowed) in [
        ("faults", json!({ "kind": "crash" }), 400, "kind", "throttle, error"),
        (
            "faults",
            json!({ "kind": "denied", "target": "node:i-x" }),
            400,
            "target",
            "node:ID of an instance",
        ),
        (
            "faults",
            json!({ "kind": "denied", "target": "action:Creat" }),
            400,
            "target",
            "CreateNetworkInterface",
        ),
        ("faults", json!({ "kind": "slow", "factor": 0.5 }), 400, "fault[1].factor", "at least 1"),
        ("faults", json!({ "kind": "denied", "far": "1s" }), 400, "fault[1].far", "for"),
        ("instances", json!({ "id": "i-9", "typ": "x" }), 400, "typ", "type"),
        ("instances", json!({ "id": "i-9" }), 400, "type", "instance type"),
        ("instances/i-sim-1/state", json!({ "state": "Up" }), 400, "state", "Running"),
        ("instances/i-sim-1/limits", json!({ "enis": 0 }), 400, "enis", "from 1"),
        ("vswitches/vsw-sim-a/exhaust", json!({ "leave": -1 }), 400, "leave", "from 0"),
    ] {
        let (code, told) = post(&server, path, body).await;
        assert_eq!((code, told["field"].as_str()), (status, Some(field)), "{path}: {told}");
        let says = told["allowed"].as_str().unwrap_or_default();
        assert!(says.contains(allowed) && told["error"].is_string(), "{path}: {told}");
    }
    for (method, path, body, status) in [
        (Method::POST, "faults", "{", 400),
        (Method::POST, "faults", "[1]", 400),
        (Method::POST, "instances", "[]", 400),
        (Method::POST, "instances", "{\"id\":null}", 400),
        (Method::POST, "instances", "{\"id\":\"i-9\",\"type\":\"ecs.none\",\"vswitch\":\"vsw-sim-a\"}", 400),
        (Method::POST, "instances", "{\"id\":\"i-9\",\"type\":\"ecs.g6.large\",\"vswitch\":\"vsw-x\"}", 404),
        (Method::POST, "vswitches/vsw-x/relieve", "", 404),
        (Method::PUT, "state", "", 405),
        (Method::GET, "nothing", "", 404),
    ] {
        let (code, told) = ask(&server, method.clone(), path, body).await;
        assert!(code == status && told["error"].is_string(), "{method} {path} {body}: {code} {told}");
    }
}

#[tokio::test]
async fn counters_tell_what_was_called_and_what_came_of_it() {
    let server = Server::start().await;
    assert!(create(&server, "vsw-sim-a").await.is_ok());
    assert!(create(&server, "vsw-none").await.is_err());
    let (_, counters) = ask(&server, Method::GET, "counters", "").await;
    let counts = &counters["calls"]["CreateNetworkInterface"];
    assert_eq!(
        (&counts["started"], &counts["succeeded"], &counts["failed"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(counters["codes"], json!({ "InvalidVSwitchId.NotFound": 1 }));
}

/// The kernel's side of a cluster listens to this: a NIC that appears becomes an interface.
#[tokio::test]
async fn watchers_see_enis_and_nics_as_they_come_and_go() {
    let slow = CloudModel { attach_settles: Span::new(20, 20), ..CloudModel::instant() };
    let server = Server::with(slow).await;
    let request = Request::get("/_sim/events").body(Full::<Bytes>::default()).expect("well formed");
    let response = connect(server.control).await.send_request(request).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut body = response.into_body();
    let mut next = async || -> Value {
        let frame = within(body.frame()).await.expect("it goes on").expect("whole");
        serde_json::from_slice(&frame.into_data().expect("data")).expect("a line is JSON")
    };
    assert_eq!(next().await["event"], "watching");
    let eni = create(&server, "vsw-sim-a").await.expect("made");
    let attach = [("NetworkInterfaceId", eni.as_str()), ("InstanceId", "i-sim-1")];
    server.ok(ECS, "AttachNetworkInterface", &attach).await;
    let mut seen = Vec::new();
    while !seen.contains(&"nic-appeared".to_owned()) || !seen.contains(&"attached".to_owned()) {
        let event = next().await;
        assert!(event["at"].is_string(), "{event}");
        if event["event"] == "nic-appeared" {
            assert_eq!((&event["instance"], &event["mac"]), (&"i-sim-1".into(), &"00:16:3e:00:00:05".into()));
        }
        let what = if event["event"] == "eni" { &event["change"] } else { &event["event"] };
        seen.push(what.as_str().expect("a text").to_owned());
    }
    assert_eq!(seen[..3], ["created", "addresses-added", "attaching"]);
}
