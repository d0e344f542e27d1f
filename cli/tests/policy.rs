//! `terway-cli policy` as it is typed: output, JSON, exit codes, bad input.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/policy");

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Said {
    // No cluster is there, whatever the machine has.
    let output = Command::new(env!("CARGO_BIN_EXE_terway-cli"))
        .arg("policy")
        .args(arguments)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("KUBECONFIG", "/does/not/exist")
        .output();
    let Output { status, stdout, stderr } = output.expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: status.code().expect("a code"), out: text(stdout), err: text(stderr) }
}

fn example(file: &str) -> String {
    format!("{EXAMPLES}/{file}")
}

fn explain(from: &str, to: &str, port: &str) -> Said {
    let manifests = example("manifests");
    run(&["explain", "--from", from, "--to", to, "--port", port, "--offline", "-f", &manifests])
}

/// A folder with the example's manifests and a file of expectations.
fn folder(expectations: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("manifests")).expect("a folder");
    for file in ["pods.yaml", "policies.yaml"] {
        let from = Path::new(EXAMPLES).join("manifests").join(file);
        std::fs::copy(from, folder.path().join("manifests").join(file)).expect("a copy");
    }
    std::fs::write(folder.path().join("expect.yaml"), expectations).expect("written");
    folder
}

fn test(expectations: &str, more: &[&str]) -> Said {
    let folder = folder(expectations);
    let file = folder.path().join("expect.yaml");
    let arguments = ["test", file.to_str().expect("text")];
    run(&[&arguments, more].concat())
}

#[test]
fn an_allowed_flow_is_told_with_the_rule() {
    let said = explain("shop/web-0", "kube-system/dns-0", "dns/UDP");
    assert_eq!(
        said.out,
        "shop/web-0 -> kube-system/dns-0 53/UDP (dns): allowed\n  (10.0.1.20 -> 10.0.3.53)\n  \
         egress of shop/web-0: allowed\n    NetworkPolicy shop/dns egress[0]: pods k8s-app=kube-dns in namespaces \
         kubernetes.io/metadata.name=kube-system; dns/UDP, dns-tcp/TCP\n  ingress of kube-system/dns-0: allowed\n    \
         no policy isolates the pod\n"
    );
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn a_denied_flow_is_told_with_what_came_nearest_and_is_an_answer_too() {
    let said = explain("203.0.113.9", "shop/gateway", "https");
    assert!(said.out.contains("203.0.113.9 is in 0.0.0.0/0 but excepted by 203.0.113.0/24"), "{}", said.out);
    assert!(
        said.out.contains("isolated by shop/default-deny, shop/gateway; no rule matches"),
        "{}",
        said.out
    );
    assert_eq!(said.code, 0);
}

#[test]
fn the_default_namespace_is_an_option() {
    let manifests = example("manifests");
    let line = ["explain", "--from", "web-0", "--to", "db-0", "--port", "pg", "-f", &manifests];
    let said = run(&line);
    assert_eq!(said.code, 2);
    assert_eq!(said.err, "error: pod default/web-0 is not there; there are shop/web-0\n");
    assert_eq!(run(&[&line[..], &["-n", "shop"]].concat()).code, 0);
}

#[test]
fn json_has_the_same_and_more() {
    let manifests = example("manifests");
    let said = run(&[
        "explain",
        "--from",
        "shop/gateway",
        "--to",
        "shop/db-0",
        "--port",
        "5432",
        "-f",
        &manifests,
        "--json",
    ]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["allowed"], false);
    assert_eq!(json["port"], "5432/TCP");
    let ingress = &json["flows"][0]["ingress"];
    assert_eq!(ingress["why"]["kind"], "no-rule");
    assert_eq!(ingress["why"]["isolated_by"], serde_json::json!(["shop/db", "shop/default-deny"]));
    assert_eq!(ingress["near"][0]["policy"], "shop/db");
    assert_eq!(ingress["near"][0]["port_fits"], true);
    let said = run(&["dump", "shop/web-0", "-f", &manifests, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["pods"][0]["egress"]["rules"][0]["tier"], "admin");
    assert_eq!(json["pods"][0]["egress"]["rules"][0]["action"], "deny");
}

#[test]
fn a_dump_shows_rules_in_their_order() {
    let said = run(&["dump", "-f", &example("manifests")]);
    assert_eq!(said.code, 0);
    let web = said.out.split("shop/web-0 (10.0.1.20)\n").nth(1).expect("web-0");
    let lines: Vec<_> = web.lines().map(str::trim).collect();
    assert!(lines[0].ends_with("isolated by shop/default-deny, shop/web"), "{web}");
    assert_eq!(lines[1], "0. allow pods app=gateway in namespace shop; http/TCP  (shop/web ingress[0])");
    assert_eq!(lines[3], "else deny");
}

#[test]
fn bad_input_names_the_option_the_value_and_what_is_allowed() {
    for (from, to, port, says) in [
        ("a/b/c", "shop/web-0", "80", "--from: `a/b/c` is neither a pod nor an address"),
        ("shop/web-0", "::ffff:1.2.3.4", "80", "--to: `::ffff:1.2.3.4` is neither a pod nor an address"),
        (
            "shop/web-0",
            "1.2.3.4",
            "80/HTTP",
            "--port: `80/HTTP` is no port: the protocol is not known; allowed are",
        ),
        ("shop/web-0", "1.2.3.4", "http", "1.2.3.4 declares no ports with names"),
        ("shop/nobody", "1.2.3.4", "80", "pod shop/nobody is not there"),
    ] {
        let said = explain(from, to, port);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        assert!(said.err.contains(says), "{}", said.err);
    }
}

#[test]
fn manifests_that_cannot_be_read_are_bad_input() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let said = run(&["dump", "-f", path]);
    assert!(said.code == 2 && said.err.contains("has no .yaml, .yml or .json file in it"), "{}", said.err);
    let said = run(&["dump", "-f", "/does/not/exist"]);
    assert!(said.code == 2 && said.err.contains("`/does/not/exist` can not be read"), "{}", said.err);
    let file = folder.path().join("policy.yaml");
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelectr: {}}}";
    std::fs::write(&file, policy).expect("written");
    let said = run(&["dump", "-f", path]);
    assert!(
        said.code == 2 && said.err.contains("podSelectr") && said.err.contains("policy.yaml"),
        "{}",
        said.err
    );
    let deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}";
    std::fs::write(&file, deployment).expect("written");
    let said = run(&["dump", "shop/web", "-f", path]);
    assert!(said.code == 2 && said.err.contains("the manifests have 1 Deployment"), "{}", said.err);
}

#[test]
fn without_manifests_and_cluster_it_says_what_was_tried() {
    let said = run(&["dump"]);
    assert_eq!(said.code, 2);
    for part in ["there is no cluster to ask", "$KUBECONFIG", "service account", "give -f"] {
        assert!(said.err.contains(part), "{}", said.err);
    }
    let said = run(&["dump", "--kubeconfig", "/does/not/exist"]);
    assert!(said.code == 2 && said.err.contains("--kubeconfig: `/does/not/exist`"), "{}", said.err);
}

#[test]
fn the_example_s_expectations_are_met() {
    let said = run(&["test", &example("expect.yaml")]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.ends_with("12 as expected, 0 not\n"), "{}", said.out);
}

#[test]
fn an_expectation_that_is_not_met_is_told_with_the_reason() {
    let said = test(
        "manifests: [manifests]\nnamespace: shop\nexpectations:\n\
         - {name: metrics, from: monitoring/prometheus-0, to: web-0, ports: [metrics, 8080], expect: allow}\n\
         - {from: gateway, to: db-0, port: 5432, expect: deny, egress: allow, ingress: deny}\n",
        &[],
    );
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert_eq!(said.err, "error: 2 of 3 expectations are not met\n");
    assert!(said.out.contains("ok   monitoring/prometheus-0 -> shop/web-0 metrics/TCP: allow  (metrics)\n"));
    assert!(
        said.out.contains(
            "FAIL monitoring/prometheus-0 -> shop/web-0 8080/TCP: allow  (metrics)\n     is deny: ingress: isolated by \
             shop/default-deny, shop/web; no rule matches; nearest shop/web ingress[1]: the peer fits"
        ),
        "{}",
        said.out
    );
    assert!(said.out.contains("     egress is deny, not allow: isolated by"), "{}", said.out);
}

#[test]
fn a_test_s_report_is_json_too_and_the_code_the_same() {
    let expectations = "expectations: [{from: shop/gateway, to: shop/db-0, port: 5432, expect: allow}]";
    let said = test(expectations, &["--json", "-f", &example("manifests")]);
    assert_eq!(said.code, 1);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&json["passed"], &json["failed"]), (&0.into(), &1.into()));
    assert_eq!(json["results"][0]["expect"], "allow");
    assert_eq!(json["results"][0]["explanation"]["flows"][0]["egress"]["allowed"], false);
}

#[test]
fn a_test_that_cannot_be_made_is_bad_input_and_no_failure_of_policy() {
    let expectation = |text: &str| format!("manifests: [manifests]\nexpectations: [{{{text}}}]");
    for (file, says) in [
        ("expectations: [{from: a, to: b, port: 80, expect: deny}]".to_owned(), "manifests is empty"),
        ("manifests: [manifests]\nexpectations: []".to_owned(), "expectations is empty"),
        (expectation("from: shop/web-0, to: 1.2.3.4, port: 80, expect: maybe"), "maybe"),
        (expectation("from: shop/web-0, to: 1.2.3.4, prt: 80, expect: deny"), "prt"),
        (
            expectation("from: shop/web-0, to: 1.2.3.4, expect: deny"),
            "expectations[0]: needs either port or ports",
        ),
        (
            expectation("from: shop/web-0, to: 1.2.3.4, port: 80, ports: [81], expect: deny"),
            "either port or ports",
        ),
        (
            expectation("from: shop/web-0, to: 1.2.3.4, ports: [80, 80/X], expect: deny"),
            "expectations[0].ports[1]: `80/X` is no port",
        ),
        (expectation("from: A, to: 1.2.3.4, port: 80, expect: deny"), "expectations[0].from: `A` is neither"),
        (
            expectation("from: shop/no, to: 1.2.3.4, port: 80, expect: deny"),
            "expectations[0]: pod shop/no is not there",
        ),
    ] {
        let said = test(&file, &[]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{file}: {}", said.err);
        assert!(said.err.contains(says) && said.err.contains("expect.yaml"), "{file}: {}", said.err);
    }
}
