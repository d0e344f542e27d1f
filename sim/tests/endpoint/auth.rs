//! Who may call, and what the others are told.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request, StatusCode};
use serde_json::Value;
use terway_cloud::sign::canonical_query;
use terway_core::time::Clock as _;

use super::client::{ECS, Server, Signer, exchange, nonce, whole};

const DESCRIBE: &str = "DescribeNetworkInterfaces";
const HERE: &[(&str, &str)] = &[("RegionId", "cn-sim")];

async fn code(server: &Server, request: Request<Bytes>) -> (u16, String) {
    let (status, body) = server.send(request).await;
    (status.as_u16(), body["Code"].as_str().unwrap_or("none").to_owned())
}

#[tokio::test]
async fn each_way_of_signing_wrongly_has_the_vendors_code_and_status() {
    type Spoil = fn(&mut Signer);
    let server = Server::start().await;
    let ways: &[(&str, Spoil, u16, &str)] = &[
        ("as it should be", |_| {}, 200, "none"),
        ("another secret", |with| with.key.secret.push('x'), 400, "SignatureDoesNotMatch"),
        ("an unknown key", |with| with.key.id.push('x'), 404, "InvalidAccessKeyId.NotFound"),
        ("the hash of another body", |with| with.hash = Some("0".repeat(64)), 400, "SignatureDoesNotMatch"),
        ("no hash", |with| with.hash = Some(String::new()), 400, "MissingParameter"),
        ("a date too old", |with| with.date = "2025-12-31T23:44:58Z".into(), 400, "InvalidTimeStamp.Expired"),
        ("a date too new", |with| with.date = "2026-01-01T00:20:00Z".into(), 400, "InvalidTimeStamp.Expired"),
        ("no date at all", |with| with.date = "yesterday".into(), 400, "InvalidTimeStamp.Format"),
        ("a header that is not sent", |with| with.nonce.clear(), 400, "MissingParameter"),
        (
            "a header that is not signed",
            |with| with.unsigned = Some("x-acs-version"),
            400,
            "IncompleteSignature",
        ),
        ("a host that is not signed", |with| with.unsigned = Some("host"), 400, "IncompleteSignature"),
        (
            "a token that the key does not have",
            |with| with.key.token = Some("t".into()),
            403,
            "InvalidSecurityToken.MismatchWithAccessKey",
        ),
    ];
    for (way, spoil, status, expected) in ways {
        let mut signer = Signer::new(&server);
        spoil(&mut signer);
        let answer = code(&server, signer.request(ECS, DESCRIBE, HERE)).await;
        assert_eq!(answer, (*status, (*expected).to_owned()), "{way}");
    }
}

#[tokio::test]
async fn a_nonce_is_good_once_and_a_refused_request_does_not_use_it_up() {
    let server = Server::start().await;
    let with = |secret: &str| {
        let mut signer = Signer::new(&server);
        signer.nonce = "the-same".to_owned();
        signer.key.secret.push_str(secret);
        signer.request(ECS, DESCRIBE, HERE)
    };
    assert_eq!(code(&server, with("wrong")).await.1, "SignatureDoesNotMatch");
    assert_eq!(code(&server, with("")).await.1, "none");
    assert_eq!(code(&server, with("")).await, (400, "SignatureNonceUsed".to_owned()));
}

#[tokio::test]
async fn a_request_that_is_not_signed_is_told_so() {
    let server = Server::start().await;
    let request = Request::get("/?RegionId=cn-sim")
        .header("host", "ecs")
        .header("x-acs-version", ECS)
        .header("x-acs-action", DESCRIBE)
        .body(Bytes::new())
        .expect("well formed");
    assert_eq!(code(&server, request).await, (400, "MissingParameter".to_owned()));
}

#[tokio::test]
async fn a_changed_parameter_does_not_pass() {
    let server = Server::start().await;
    let mut request =
        Signer::new(&server).request(ECS, DESCRIBE, &[("RegionId", "cn-sim"), ("VpcId", "vpc-a")]);
    *request.uri_mut() = "/?RegionId=cn-sim&VpcId=vpc-b".parse().expect("a URI");
    let (_, body) = server.send(request).await;
    assert_eq!(body["Code"], "SignatureDoesNotMatch");
    let message = body["Message"].as_str().expect("a text");
    // The server's own text: what one compares with.
    assert!(message.contains("POST\n/\nRegionId=cn-sim&VpcId=vpc-b\nhost:"), "{message}");
}

#[tokio::test]
async fn keys_of_a_role_call_as_their_instance_until_they_end() {
    let server = Server::start().await;
    let key = server.endpoint.keys().of_instance(&"i-sim-1".into(), server.clock.now());
    let with = |token: Option<&str>| {
        let mut signer = Signer::new(&server);
        signer.key = key.clone();
        signer.key.token = token.map(str::to_owned);
        signer
    };
    let good = key.token.as_deref();
    let send = |signer: Signer| code(&server, signer.request(ECS, DESCRIBE, HERE));
    assert_eq!(send(with(good)).await.1, "none");
    assert_eq!(send(with(None)).await, (400, "MissingSecurityToken".to_owned()));
    assert_eq!(
        send(with(Some("another"))).await,
        (403, "InvalidSecurityToken.MismatchWithAccessKey".to_owned())
    );
    server.clock.step(6 * 3_600_000);
    assert_eq!(send(with(good)).await, (400, "InvalidSecurityToken.Expired".to_owned()));
}

#[tokio::test]
async fn a_refusal_does_not_repeat_a_roles_token() {
    let server = Server::start().await;
    let mut signer = Signer::new(&server);
    signer.key = server.endpoint.keys().of_instance(&"i-sim-1".into(), server.clock.now());
    signer.key.secret.push('x');
    let token = signer.key.token.clone().expect("a role's key has one");
    let (_, body) = server.send(signer.request(ECS, DESCRIBE, HERE)).await;
    assert_eq!(body["Code"], "SignatureDoesNotMatch");
    assert!(!body.to_string().contains(&token), "{body}");
}

#[tokio::test]
async fn parameters_may_come_in_the_query_or_in_a_form_by_get_or_by_post() {
    let server = Server::start().await;
    let mut get = Signer::new(&server);
    get.method = Method::GET;
    let (status, by_get) = server.send(get.request(ECS, DESCRIBE, HERE)).await;
    assert_eq!((status, by_get["TotalCount"].as_u64()), (StatusCode::OK, Some(4)));
    let mut form = Signer::new(&server);
    form.body = "RegionId=cn-sim&VSwitchId=vsw-sim-a".to_owned();
    form.more = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
    let (status, by_form) = server.send(form.request(ECS, DESCRIBE, &[])).await;
    assert_eq!((status, by_form["TotalCount"].as_u64()), (StatusCode::OK, Some(2)), "{by_form}");
}

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    let server = Server::start().await;
    let mut connection = super::client::connect(server.openapi).await;
    for _ in 0..3 {
        let request = Signer::new(&server).request(ECS, DESCRIBE, HERE);
        let response = connection.send_request(request.map(http_body_util::Full::new)).await.expect("open");
        assert_eq!(whole(response).await.expect("whole").status(), StatusCode::OK);
    }
}

/// A request with the older signature, made here from the documentation's recipe.
fn rpc(server: &Server, method: &str, spoil: impl FnOnce(&mut Vec<(String, String)>)) -> Request<Bytes> {
    let key = server.endpoint.keys().operator();
    let mut params: Vec<(String, String)> = [
        ("Action", DESCRIBE),
        ("Version", ECS),
        ("Format", "json"),
        ("RegionId", "cn-sim"),
        ("AccessKeyId", &key.id),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", &nonce()),
        ("Timestamp", &server.date()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    spoil(&mut params);
    let query = canonical_query(params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let text = format!("{method}&%2F&{}", query.replace('%', "%25").replace('=', "%3D").replace('&', "%26"));
    let mut mac =
        Hmac::<sha1::Sha1>::new_from_slice(format!("{}&", key.secret).as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let signature = canonical_query([("Signature", signature.as_str())]);
    let uri = format!("/?{query}&{signature}");
    Request::builder().method(method).uri(uri).header("host", "ecs").body(Bytes::new()).expect("well formed")
}

#[tokio::test]
async fn the_older_signature_is_understood_and_verified_as_well() {
    let server = Server::start().await;
    let set = |name: &'static str, value: &'static str| {
        move |params: &mut Vec<(String, String)>| {
            params.retain(|(known, _)| known != name);
            if !value.is_empty() {
                params.push((name.to_owned(), value.to_owned()));
            }
        }
    };
    for method in ["GET", "POST"] {
        assert_eq!(code(&server, rpc(&server, method, |_| {})).await, (200, "none".to_owned()), "{method}");
    }
    for (name, value, status, expected) in [
        ("AccessKeyId", "nobody", 404, "InvalidAccessKeyId.NotFound"),
        ("Timestamp", "2025-01-01T00:00:00Z", 400, "InvalidTimeStamp.Expired"),
        ("Timestamp", "", 400, "MissingParameter"),
        ("SignatureNonce", "", 400, "MissingParameter"),
        ("SignatureMethod", "HMAC-SHA256", 400, "InvalidParameter"),
        ("Format", "XML", 400, "InvalidParameter"),
        ("Version", "2013-01-10", 400, "InvalidVersion"),
    ] {
        let answer = code(&server, rpc(&server, "GET", set(name, value))).await;
        assert_eq!(answer, (status, expected.to_owned()), "{name}={value}");
    }
    let mut changed = rpc(&server, "GET", |_| {});
    *changed.method_mut() = Method::POST;
    assert_eq!(code(&server, changed).await.1, "SignatureDoesNotMatch");
    let once = rpc(&server, "GET", set("SignatureNonce", "once"));
    assert_eq!(code(&server, once.clone()).await.1, "none");
    assert_eq!(code(&server, once).await.1, "SignatureNonceUsed");
}

#[tokio::test]
async fn what_is_no_request_of_the_api_is_refused_in_its_words() {
    type Spoil = fn(&mut Request<Bytes>);
    let server = Server::start().await;
    let signed = || Signer::new(&server).request(ECS, DESCRIBE, HERE);
    let ways: &[(&str, Spoil, u16, &str)] = &[
        ("another method", |to| *to.method_mut() = Method::PUT, 400, "UnsupportedHTTPMethod"),
        ("a path", |to| *to.uri_mut() = "/ecs".parse().expect("a URI"), 404, "InvalidAction.NotFound"),
        (
            "an unknown action",
            |to| drop(to.headers_mut().insert("x-acs-action", "RunInstances".parse().expect("a value"))),
            404,
            "InvalidAction.NotFound",
        ),
        (
            "another product's action",
            |to| drop(to.headers_mut().insert("x-acs-action", "DescribeVSwitches".parse().expect("a value"))),
            404,
            "InvalidAction.NotFound",
        ),
        (
            "an unknown version",
            |to| drop(to.headers_mut().insert("x-acs-version", "1999-01-01".parse().expect("a value"))),
            400,
            "InvalidVersion",
        ),
        ("no action", |to| drop(to.headers_mut().remove("x-acs-action")), 400, "MissingParameter"),
        ("JSON as a body", |to| *to.body_mut() = Bytes::from_static(b"{}"), 400, "InvalidParameter"),
        (
            "a parameter given twice",
            |to| *to.uri_mut() = "/?RegionId=a&RegionId=b".parse().expect("a URI"),
            400,
            "InvalidParameter",
        ),
    ];
    for (way, spoil, status, expected) in ways {
        let mut request = signed();
        spoil(&mut request);
        assert_eq!(code(&server, request).await, (*status, (*expected).to_owned()), "{way}");
    }
}

#[tokio::test]
async fn a_body_beyond_a_mebibyte_is_refused_before_it_is_looked_at() {
    let server = Server::start().await;
    let mut request = Signer::new(&server).request(ECS, DESCRIBE, HERE);
    *request.body_mut() = Bytes::from(vec![b'a'; (1 << 20) + 1]);
    let answer = exchange(server.openapi, request).await.expect("there is an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn refusals_have_all_documented_fields_and_the_clouds_own_request_id() {
    let server = Server::start().await;
    let delete = [("RegionId", "cn-sim"), ("NetworkInterfaceId", "eni-none")];
    let (status, body) = server.call(ECS, "DeleteNetworkInterface", &delete).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let fields: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["Code", "HostId", "Message", "Recommend", "RequestId"]);
    assert_eq!(body["HostId"], "ecs.cn-sim.aliyuncs.com");
    assert_eq!(body["Code"], Value::from("InvalidEniId.NotFound"));
    let (_, vpc) = server.call("2016-04-28", "DeleteRouteEntry", &[]).await;
    assert_eq!(vpc["HostId"], "vpc.cn-sim.aliyuncs.com");
}
