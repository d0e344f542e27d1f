//! The metadata client against a scripted service.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use super::*;
use crate::testing::{Answer, FakeHttp, reply};

const MAC: &str = "00:16:3e:00:00:02";

/// A service of one instance; `hardened` demands tokens.
fn service(hardened: bool) -> Arc<FakeHttp> {
    FakeHttp::new(move |request, before| {
        let token = request.headers().get(TOKEN).map(|token| token.to_str().expect("text"));
        let path = request.uri().path();
        if path == "/latest/api/token" && request.method() == Method::PUT {
            assert_eq!(request.headers()[TOKEN_TTL], "21600");
            return reply(200, format!("token-{before}"));
        }
        if hardened && token.is_none() {
            return reply(403, "");
        }
        let path = path.strip_prefix("/latest/meta-data/").unwrap_or("?");
        match facts(path) {
            Some(text) => reply(200, text),
            None => reply(404, "<html>404</html>"),
        }
    })
}

fn facts(path: &str) -> Option<&'static str> {
    // One has all there can be, one has no IPv6, one is on its way.
    let nic = path.strip_prefix("network/interfaces/macs/").and_then(|nic| nic.split_once('/'));
    Some(match nic {
        None => match path {
            "instance-id" => "i-1",
            "instance/instance-type" => "ecs.g7.xlarge",
            "region-id" => "cn-hangzhou",
            "zone-id" => "cn-hangzhou-i",
            "vpc-id" => "vpc-1\n",
            "network/interfaces/macs/" => "00:16:3E:00:00:02/\n00:16:3e:00:00:01/\n00:16:3e:00:00:03/\n",
            _ => return None,
        },
        Some(("00:16:3e:00:00:03", "network-interface-id")) => "eni-3",
        Some(("00:16:3e:00:00:03", _)) => return None,
        Some((_, "vswitch-id")) => "vsw-1",
        Some((_, "vswitch-cidr-block")) => "10.0.0.0/24",
        Some((_, "gateway")) => "10.0.0.253",
        Some(("00:16:3e:00:00:01", "network-interface-id")) => "eni-1",
        Some(("00:16:3e:00:00:01", "primary-ip-address")) => "10.0.0.4",
        // As it is written in the list.
        Some(("00:16:3E:00:00:02", fact)) => match fact {
            "network-interface-id" => "eni-2",
            "primary-ip-address" => "10.0.0.5",
            "private-ipv4s" => r#"["10.0.0.5","10.0.0.6"]"#,
            "ipv6s" => "[2408::5, 2408::6]",
            "vswitch-ipv6-cidr-block" => "2408::/64",
            "ipv6-gateway" => "2408::fffd",
            _ => return None,
        },
        _ => return None,
    })
}

#[tokio::test]
async fn an_instance_learns_who_it_is_with_and_without_hardening() {
    for hardened in [false, true] {
        let http = service(hardened);
        let identity = MetadataClient::new(http.clone(), "http://meta").identity().await.expect("all there");
        assert_eq!((identity.instance.as_str(), identity.vpc.as_str()), ("i-1", "vpc-1"));
        assert_eq!((&*identity.region, identity.zone.as_str()), ("cn-hangzhou", "cn-hangzhou-i"));
        assert_eq!(identity.instance_type.as_str(), "ecs.g7.xlarge");
        // One token for all of it.
        assert_eq!(http.count(), 6, "hardened: {hardened}");
    }
}

#[tokio::test]
async fn interfaces_come_sorted_with_what_they_have_and_one_that_is_on_its_way_does_not() {
    let nics = MetadataClient::new(service(true), "http://meta").interfaces().await.expect("all there");
    let shown: Vec<_> = nics.iter().map(|nic| (nic.mac.to_string(), nic.eni.as_str())).collect();
    assert_eq!(shown, [("00:16:3e:00:00:01".to_owned(), "eni-1"), (MAC.to_owned(), "eni-2")]);
    let [one, two] = &nics[..] else { panic!("{nics:?}") };
    let addresses =
        |list: &[&str]| list.iter().map(|ip| ip.parse().expect("an address")).collect::<Vec<IpAddr>>();
    assert_eq!((one.addresses.clone(), one.ipv6), (addresses(&["10.0.0.4"]), None));
    assert_eq!(two.addresses, addresses(&["10.0.0.5", "10.0.0.6", "2408::5", "2408::6"]));
    let (block, gateway) = two.ipv6.expect("dual stack");
    assert_eq!((block.to_string(), gateway.to_string()), ("2408::/64".to_owned(), "2408::fffd".to_owned()));
    assert_eq!(
        (two.cidr.to_string(), two.gateway.to_string()),
        ("10.0.0.0/24".to_owned(), "10.0.0.253".to_owned())
    );
}

#[tokio::test]
async fn a_base_may_have_a_path() {
    let http = FakeHttp::new(|request, _| match request.uri().to_string().as_str() {
        "http://127.0.0.1:8081/instances/i-1/latest/api/token" => reply(200, "token"),
        "http://127.0.0.1:8081/instances/i-1/latest/meta-data/mac" => reply(200, MAC),
        other => panic!("{other}"),
    });
    for base in ["http://127.0.0.1:8081/instances/i-1", "127.0.0.1:8081/instances/i-1/"] {
        assert_eq!(MetadataClient::new(http.clone(), base).read("mac").await.expect("there"), MAC);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_at_half_of_its_life() {
    let http = service(true);
    let client = MetadataClient::new(http.clone(), "http://meta");
    let tokens = || http.seen().iter().filter(|request| request.method() == Method::PUT).count();
    client.read("instance-id").await.expect("there");
    tokio::time::advance(Duration::from_secs(10_799)).await;
    client.read("instance-id").await.expect("there");
    assert_eq!(tokens(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    client.read("instance-id").await.expect("there");
    assert_eq!(tokens(), 2);
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_replaced_once() {
    let refused = Arc::new(AtomicUsize::new(0));
    let (counter, forever) = (refused.clone(), Arc::new(AtomicBool::new(false)));
    let always = forever.clone();
    let http = FakeHttp::new(move |request, before| {
        if request.method() == Method::PUT {
            return reply(200, format!("token-{before}"));
        }
        let first = request.headers()[TOKEN] == "token-0";
        if first || always.load(Relaxed) {
            counter.fetch_add(1, Relaxed);
            return reply(401, "");
        }
        reply(200, "i-1")
    });
    let client = MetadataClient::new(http.clone(), "http://meta");
    assert_eq!(client.read("instance-id").await.expect("with the second token"), "i-1");
    assert_eq!((refused.load(Relaxed), http.count()), (1, 4));
    forever.store(true, Relaxed);
    let error = client.read("instance-id").await.expect_err("never good").to_string();
    assert_eq!(error, "http://meta/latest/meta-data/instance-id answers 401 Unauthorized");
    assert_eq!(refused.load(Relaxed), 3);
}

#[tokio::test]
async fn a_service_without_tokens_is_read_without() {
    for status in [404, 405] {
        let http = FakeHttp::new(move |request, _| {
            if request.method() == Method::PUT {
                return reply(status, "");
            }
            assert!(request.headers().get(TOKEN).is_none());
            reply(200, "i-1")
        });
        let client = MetadataClient::new(http.clone(), "http://meta");
        client.read("instance-id").await.expect("there");
        client.read("instance-id").await.expect("there");
        assert_eq!(http.count(), 3, "asked for a token once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_or_silent_service_is_asked_five_times_with_growing_pauses() {
    let start = Instant::now();
    let http = FakeHttp::new(|_, _| reply(429, ""));
    let error = MetadataClient::new(http.clone(), "http://meta").identity().await.expect_err("busy");
    assert_eq!(http.count(), 5);
    assert_eq!(start.elapsed().as_millis(), 500 + 600 + 720 + 864);
    assert_eq!(error.path, "instance-id");
    assert!(error.reason.contains("api/token answers 429"), "{error}");

    let http = FakeHttp::new(|_, before| if before < 3 { reply(503, "") } else { reply(200, "i-1") });
    let text = MetadataClient::new(http.clone(), "http://meta").read("instance-id").await.expect("at last");
    assert_eq!((text.as_str(), http.count()), ("i-1", 5));

    let start = Instant::now();
    let http = FakeHttp::new(|_, _| Answer::Never);
    let error = MetadataClient::new(http.clone(), "http://meta").interfaces().await.expect_err("silent");
    assert!(error.reason.contains("gives no answer within 2 s"), "{error}");
    assert_eq!(start.elapsed().as_millis(), 5 * 2_000 + 500 + 600 + 720 + 864);
}

#[tokio::test]
async fn what_does_not_read_is_told_with_its_path_and_text() {
    let http = FakeHttp::new(|request, _| match request.uri().path().rsplit('/').next() {
        Some("token" | "vswitch-ipv6-cidr-block") => reply(404, ""),
        Some("") => reply(200, "00:16:3e:00:00:01/"),
        Some("vswitch-cidr-block") => reply(200, "wide"),
        _ => reply(200, "10.0.0.1"),
    });
    let error =
        MetadataClient::new(http, "http://meta").interfaces().await.expect_err("no block").to_string();
    assert!(error.contains("vswitch-cidr-block") && error.contains("`wide`"), "{error}");
}
