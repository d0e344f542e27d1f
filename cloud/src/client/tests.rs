//! The client against a scripted other side: what it sends, what it makes of answers, how long it waits.

use std::{
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{Request as HttpRequest, header::CONTENT_ENCODING};
use terway_core::{
    address::AddressCount,
    cloud::{CODES, NextHop, RouteStatus, classify},
};

use super::*;
use crate::{
    endpoints::Network,
    reply::samples,
    testing::{Answer, Counting, FakeHttp, StandingClock, key, reply},
};

/// Gives out `key-1`, and after it was told that it expired `key-2`, and so on.
#[derive(Default)]
struct Rotating {
    expired: AtomicUsize,
    told: Mutex<Vec<String>>,
}

#[async_trait]
impl CredentialsProvider for Rotating {
    async fn credentials(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let key_id = format!("key-{}", self.expired.load(Relaxed) + 1);
        Ok(Arc::new(Credentials { key_id, ..key() }))
    }

    fn expired(&self, seen: &Credentials) {
        self.expired.fetch_add(1, Relaxed);
        self.told.lock().expect("no panic").push(seen.key_id.clone());
    }
}

fn with_credentials(http: &Arc<FakeHttp>, credentials: Arc<dyn CredentialsProvider>) -> Client {
    let endpoints = Endpoints::of_region("cn-hangzhou", Network::Public).expect("a region");
    let settings = Settings::new("cn-hangzhou", endpoints);
    Client::new(http.clone(), credentials, StandingClock::new(), Arc::new(Counting::default()), settings)
}

fn client(http: &Arc<FakeHttp>) -> Client {
    with_credentials(http, Arc::new(Rotating::default()))
}

fn header<'a>(request: &'a HttpRequest<Bytes>, name: &str) -> &'a str {
    request.headers()[name].to_str().expect("text")
}

fn assign(v6: u32) -> Assign {
    let count = AddressCount { v4: u32::from(v6 == 0), v6, prefixes: 0 };
    Assign { token: "tok".into(), eni: "eni-1".into(), count }
}

/// Calls an action and tells only whether it succeeded.
async fn perform(client: &Client, action: Action) -> Result<(), CloudError> {
    let (eni, instance) = (EniId::from("eni-1"), InstanceId::from("i-1"));
    let set = AddressSet::default();
    let destination = "10.1.0.0/24".parse().expect("a block");
    let table = RouteTableId::from("vtb-1");
    let hop = NextHop::Instance("i-1".into());
    match action {
        Action::CreateNetworkInterface => {
            let request = CreateEni {
                token: "tok".into(),
                vswitch: "vsw-1".into(),
                security_groups: vec!["sg-1".into()],
                count: AddressCount { v4: 1, v6: 0, prefixes: 0 },
                tags: Vec::new(),
            };
            client.create_eni(&request).await.map(drop)
        }
        Action::AttachNetworkInterface => client.attach_eni(&eni, &instance).await,
        Action::DetachNetworkInterface => client.detach_eni(&eni, &instance).await,
        Action::DeleteNetworkInterface => client.delete_eni(&eni).await,
        Action::DescribeNetworkInterfaces => client.describe_enis(&EniFilter::Ours, None).await.map(drop),
        Action::AssignPrivateIpAddresses => client.assign_ipv4(&assign(0)).await.map(drop),
        Action::UnassignPrivateIpAddresses => client.unassign_ipv4(&eni, &set).await,
        Action::AssignIpv6Addresses => client.assign_ipv6(&assign(1)).await.map(drop),
        Action::UnassignIpv6Addresses => client.unassign_ipv6(&eni, &set).await,
        Action::DescribeInstanceTypes => {
            client.describe_instance_type(&"ecs.g7.xlarge".into()).await.map(drop)
        }
        Action::DescribeSecurityGroups => client.describe_security_groups(&["sg-1".into()]).await.map(drop),
        Action::DescribeVSwitches => {
            client.describe_vswitches(&VSwitchFilter::OfVpc("vpc-1".into()), None).await.map(drop)
        }
        Action::DescribeRouteTableList => client.describe_route_tables(&"vpc-1".into(), None).await.map(drop),
        Action::DescribeRouteEntryList => client.describe_route_entries(&table, None).await.map(drop),
        Action::CreateRouteEntry => {
            let request = CreateRoute { token: "tok".into(), table, destination, next_hop: hop };
            client.create_route_entry(&request).await.map(drop)
        }
        Action::DeleteRouteEntry => {
            let status = RouteStatus::Available;
            let next_hop = Some(hop);
            let id = "rte-1".into();
            client
                .delete_route_entry(&RouteEntry { id, table, destination, status, custom: true, next_hop })
                .await
        }
    }
}

fn sample(action: &str) -> &'static str {
    match Action::parse(action).expect("an action") {
        Action::CreateNetworkInterface => samples::CREATE_ENI,
        Action::DescribeNetworkInterfaces => samples::DESCRIBE_ENIS,
        Action::AssignPrivateIpAddresses => samples::ASSIGN_IPV4,
        Action::AssignIpv6Addresses => samples::ASSIGN_IPV6,
        Action::DescribeInstanceTypes => samples::DESCRIBE_INSTANCE_TYPES,
        Action::DescribeSecurityGroups => samples::DESCRIBE_SECURITY_GROUPS,
        Action::DescribeVSwitches => samples::DESCRIBE_VSWITCHES,
        Action::DescribeRouteTableList => samples::DESCRIBE_ROUTE_TABLES,
        Action::DescribeRouteEntryList => samples::DESCRIBE_ROUTE_ENTRIES,
        Action::CreateRouteEntry => samples::CREATE_ROUTE_ENTRY,
        _ => samples::DONE,
    }
}

#[tokio::test]
async fn each_method_is_one_request_of_its_action_to_its_product() {
    let http = FakeHttp::new(|request, _| reply(200, sample(header(request, "x-acs-action"))));
    let client = client(&http);
    for (index, action) in Action::ALL.iter().enumerate() {
        perform(&client, *action).await.unwrap_or_else(|error| panic!("{error}"));
        let seen = http.seen();
        assert_eq!(seen.len(), index + 1, "{action}");
        let request = &seen[index];
        assert_eq!(header(request, "x-acs-action"), action.name());
        let product = action.product();
        assert_eq!(header(request, "host"), format!("{}.cn-hangzhou.aliyuncs.com", product.code()));
        assert_eq!(header(request, "x-acs-version"), product.version());
        assert_eq!(header(request, "x-acs-date"), "2026-01-01T00:00:00Z");
        let nonce = format!("{:016x}{:016x}", 2 * index + 1, 2 * index + 2);
        assert_eq!(header(request, "x-acs-signature-nonce"), nonce);
        let query = request.uri().query().expect("a query");
        assert!(query.contains("RegionId=cn-hangzhou"), "{query}");
    }
}

#[tokio::test]
async fn every_documented_code_arrives_as_it_was_sent_with_its_class() {
    for (code, _) in CODES {
        for action in Action::ALL {
            let body = format!(r#"{{"RequestId": "r-1", "Code": "{code}", "Message": "because"}}"#);
            let http = FakeHttp::new(move |_, _| reply(400, body.clone()));
            let error = perform(&client(&http), *action).await.expect_err(code);
            assert_eq!(
                (error.action, error.code.as_str(), error.message.as_str(), error.request_id.as_str()),
                (*action, *code, "because", "r-1")
            );
            assert_eq!(error.class, classify(*action, code), "{action} {code}");
            // Only what the client mends itself is sent again, once.
            let mended = matches!(*code, "InvalidSecurityToken.Expired" | "SignatureNonceUsed");
            assert_eq!(http.count(), if mended { 2 } else { 1 }, "{action} {code}");
        }
    }
}

#[tokio::test]
async fn an_unknown_code_is_reported_whole_and_fatal() {
    let http =
        FakeHttp::always(403, r#"{"RequestId": "r-1", "Code": "Brand.New", "Message": "what is this"}"#);
    let error = perform(&client(&http), Action::AttachNetworkInterface).await.expect_err("refused");
    let shown = "AttachNetworkInterface failed with Brand.New: what is this (request r-1)";
    assert_eq!((error.to_string().as_str(), error.class), (shown, RetryClass::Fatal));
}

#[tokio::test]
async fn a_temporary_key_that_ended_is_renewed_and_the_call_made_once_more() {
    let http = FakeHttp::new(|request, _| {
        if header(request, "authorization").contains("Credential=key-1,") {
            return reply(
                403,
                r#"{"Code": "InvalidSecurityToken.Expired", "Message": "old", "RequestId": "r"}"#,
            );
        }
        reply(200, samples::DONE)
    });
    let credentials = Arc::new(Rotating::default());
    perform(&with_credentials(&http, credentials.clone()), Action::DeleteNetworkInterface)
        .await
        .expect("renewed");
    assert_eq!(http.count(), 2);
    assert_eq!(*credentials.told.lock().expect("no panic"), ["key-1"]);
}

#[tokio::test]
async fn a_used_nonce_is_replaced_and_the_call_made_once_more() {
    let http = FakeHttp::new(|_, before| match before {
        0 => reply(400, r#"{"Code": "SignatureNonceUsed", "Message": "again", "RequestId": "r"}"#),
        _ => reply(200, samples::ASSIGN_IPV4),
    });
    perform(&client(&http), Action::AssignPrivateIpAddresses).await.expect("another nonce");
    let seen = http.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(header(&seen[0], "x-acs-signature-nonce"), header(&seen[1], "x-acs-signature-nonce"));
    // The same request all the same: its idempotency token above all.
    assert_eq!(seen[0].uri(), seen[1].uri());
}

#[tokio::test]
async fn a_packed_reply_is_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(samples::DESCRIBE_ENIS.as_bytes()).expect("memory");
    let packed: Bytes = encoder.finish().expect("memory").into();
    let http = FakeHttp::new(move |_, _| {
        let response = Response::builder().header(CONTENT_ENCODING, "gzip").body(packed.clone());
        Answer::Reply(response.expect("a valid reply"))
    });
    let page = client(&http).describe_enis(&EniFilter::Ours, None).await.expect("packed");
    assert_eq!(page.rows.len(), 2);
    assert_eq!(header(&http.seen()[0], "accept-encoding"), "gzip");
}

#[tokio::test(start_paused = true)]
async fn a_try_ends_at_its_deadline_and_is_a_timeout() {
    let http = FakeHttp::new(|_, _| Answer::Never);
    let start = Instant::now();
    let error = perform(&client(&http), Action::CreateNetworkInterface).await.expect_err("no answer");
    assert_eq!((error.code.as_str(), error.class), ("Timeout", RetryClass::Transient));
    assert!(error.message.contains("within 10 s"), "{error}");
    assert_eq!((start.elapsed().as_secs(), http.count()), (TRY_DEADLINE.as_secs(), 1));
}

#[tokio::test(start_paused = true)]
async fn all_tries_of_a_call_end_at_its_total_deadline() {
    let late = |code: &str| {
        let body = format!(r#"{{"Code": "{code}", "Message": "", "RequestId": "r"}}"#);
        let response = Response::builder().status(403).body(body.into()).expect("a valid reply");
        Answer::Late(Duration::from_secs(9), response)
    };
    let http = FakeHttp::new(move |_, before| match before {
        0 => late("InvalidSecurityToken.Expired"),
        1 => late("SignatureNonceUsed"),
        _ => Answer::Never,
    });
    let start = Instant::now();
    let error = perform(&client(&http), Action::DescribeVSwitches).await.expect_err("no answer");
    assert_eq!(error.code, "Timeout");
    // 9 s, 9 s, and not another 10.
    assert_eq!((start.elapsed().as_secs(), http.count()), (TOTAL_DEADLINE.as_secs(), 3));
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable_and_one_that_does_not_answer_a_timeout() {
    let fails = async |kind: std::io::ErrorKind, sent: bool| {
        let http = FakeHttp::new(move |_, _| {
            let (authority, source) = ("ecs".to_owned(), std::io::Error::from(kind).into());
            Answer::Fail(if sent {
                HttpError::Broken { authority, source }
            } else {
                HttpError::Connect { authority, source }
            })
        });
        perform(&client(&http), Action::DeleteNetworkInterface).await.expect_err("no answer")
    };
    let refused = fails(std::io::ErrorKind::ConnectionRefused, false).await;
    assert_eq!((refused.code.as_str(), refused.request_id.as_str()), ("Unreachable", "-"));
    assert!(refused.message.contains("can not connect to ecs: connection refused"), "{refused}");
    assert_eq!(fails(std::io::ErrorKind::ConnectionReset, true).await.code, "Unreachable");
    assert_eq!(fails(std::io::ErrorKind::TimedOut, false).await.code, "Timeout");
}

#[tokio::test]
async fn the_time_that_the_cloud_asks_for_is_passed_on() {
    let http = FakeHttp::new(|_, _| {
        let body = r#"{"Code": "Throttling.User", "Message": "slow down", "RequestId": "r"}"#;
        let response = Response::builder().status(400).header(RETRY_AFTER, "17").body(body.into());
        Answer::Reply(response.expect("a valid reply"))
    });
    let error = perform(&client(&http), Action::AttachNetworkInterface).await.expect_err("throttled");
    assert_eq!((error.class, error.retry_after), (RetryClass::Throttled, Some(Duration::from_secs(17))));
}

#[tokio::test]
async fn an_empty_list_of_ids_asks_for_nothing() {
    let http = FakeHttp::always(500, "{}");
    let client = client(&http);
    let page = client.describe_enis(&EniFilter::Ids(Vec::new()), None).await.expect("nothing");
    assert_eq!(page, Page::only(Vec::new()));
    assert_eq!(client.describe_security_groups(&[]).await.expect("nothing"), []);
    assert_eq!(http.count(), 0);
}

#[tokio::test]
async fn numbered_pages_are_followed_by_the_ports_token() {
    let http = FakeHttp::always(200, samples::DESCRIBE_VSWITCHES);
    let filter = VSwitchFilter::OfVpc("vpc-1".into());
    let page = client(&http).describe_vswitches(&filter, Some("2".to_owned())).await.expect("a page");
    assert_eq!(page.next.as_deref(), Some("3"));
    assert!(http.seen()[0].uri().query().is_some_and(|query| query.contains("PageNumber=2&PageSize=50")));
}

#[tokio::test]
async fn no_secret_shows_in_errors_or_debug_output() {
    // As the vendor does: the signed text, with the token in it.
    let http = FakeHttp::new(|request, _| {
        let token = header(request, "x-acs-security-token").to_owned();
        let body = format!(
            r#"{{"Code": "SignatureDoesNotMatch", "RequestId": "r",
                "Message": "server canonical request is: x-acs-security-token:{token} hidden-secret"}}"#
        );
        reply(400, body)
    });
    let client = client(&http);
    let error = perform(&client, Action::DeleteNetworkInterface).await.expect_err("refused");
    for shown in [format!("{error} {error:?}"), format!("{client:?}"), format!("{:?}", key())] {
        assert!(!shown.contains("hidden"), "{shown}");
    }
    assert!(error.message.contains("x-acs-security-token:<secret>"), "{error}");
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_the_error_says_why() {
    struct Nothing(bool);
    #[async_trait]
    impl CredentialsProvider for Nothing {
        async fn credentials(&self) -> Result<Arc<Credentials>, CredentialsError> {
            Err(CredentialsError::Role {
                reason: "http://metadata gives no answer".to_owned(),
                transient: self.0,
            })
        }
        fn expired(&self, _: &Credentials) {}
    }
    for (transient, class) in [(true, RetryClass::Transient), (false, RetryClass::Fatal)] {
        let http = FakeHttp::always(200, samples::DONE);
        let client = with_credentials(&http, Arc::new(Nothing(transient)));
        let error = perform(&client, Action::DeleteNetworkInterface).await.expect_err("no credentials");
        assert_eq!((error.code.as_str(), error.class, http.count()), (NO_CREDENTIALS, class, 0));
        assert!(error.message.contains("http://metadata gives no answer"), "{error}");
    }
}
