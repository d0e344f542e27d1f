//! The commands against the fake cloud: what they do and what they print.

use std::sync::{Arc, Mutex};

use clap::Parser;
use terway_sim::cloud::{CloudModel, FakeCloud, FaultKind, FaultWindow};
use tokio::time::{Duration, Instant};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    call: Call,
}

struct Rig {
    fake: Arc<FakeCloud>,
    cloud: Arc<dyn Cloud>,
    told: Mutex<Vec<String>>,
}

fn rig(model: CloudModel) -> Rig {
    let fake = FakeCloud::new(model, 7);
    // First, for a vSwitch adds its own entry to the tables that there are.
    fake.add_route_table("vtb-1", true, Vec::new());
    let block = Some("fd00::/64".parse().expect("a block"));
    fake.add_vswitch("vsw-a", "cn-a", "10.0.0.0/24".parse().expect("a block"), block).expect("new");
    fake.add_security_group("sg-1", "pods");
    fake.add_instance("i-1", "ecs.g7.xlarge", "cn-a", &"vsw-a".into()).expect("room");
    Rig { cloud: fake.operator_client("cli"), fake, told: Mutex::default() }
}

impl Rig {
    async fn run(&self, line: &str, json: bool) -> Result<String, Failure> {
        let line = Line::try_parse_from(std::iter::once("cloud").chain(line.split_whitespace())).expect(line);
        let tell = |line: &str| self.told.lock().expect("no panic").push(line.to_owned());
        perform(line.call, &Context { cloud: &*self.cloud, json, tell: &tell }).await
    }

    async fn text(&self, line: &str) -> String {
        self.run(line, false).await.unwrap_or_else(|failure| panic!("{line}: {failure}"))
    }

    async fn json(&self, line: &str) -> serde_json::Value {
        let text = self.run(line, true).await.unwrap_or_else(|failure| panic!("{line}: {failure}"));
        serde_json::from_str(&text).expect("JSON")
    }

    async fn failure(&self, line: &str) -> Failure {
        self.run(line, false).await.expect_err(line)
    }

    /// Makes an ENI and returns its id.
    async fn eni(&self) -> String {
        let eni =
            self.json("eni create --vswitch vsw-a --security-group sg-1 --ipv4 3 --tag creator=terway").await;
        eni["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn an_eni_is_made_attached_detached_and_deleted_and_each_step_is_watched() {
    let rig = rig(CloudModel::default());
    let eni = rig.eni().await;
    assert!(rig.told.lock().expect("no panic")[0].starts_with("client token: cli-"));
    assert_eq!(rig.text(&format!("eni attach {eni} i-1 --wait")).await, format!("{eni} is InUse\n"));
    let progress = rig.told.lock().expect("no panic").join("\n");
    assert!(progress.contains(&format!("{eni}: Attaching, after ")), "{progress}");
    let detached = rig.json(&format!("eni detach {eni} i-1 --wait")).await;
    assert_eq!(detached, serde_json::json!({ "eni": eni, "goal": "Available", "reached": true }));
    assert_eq!(rig.text(&format!("eni delete {eni} --wait")).await, format!("{eni} is gone\n"));
    assert!(rig.fake.eni(&eni.as_str().into()).is_none());
    // Once more is no failure.
    assert!(rig.text(&format!("eni delete {eni}")).await.contains("on its way to gone"));
    assert!(rig.told.lock().expect("no panic").last().is_some_and(|line| line.contains("it is so already")));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_come_is_told_with_its_last_state() {
    let rig = rig(CloudModel::default());
    let eni = rig.eni().await;
    let start = Instant::now();
    rig.fake.add_window(FaultWindow::new(FaultKind::StuckState, Duration::from_secs(3_600)));
    let failure = rig.failure(&format!("eni attach {eni} i-1 --wait --wait-for 30")).await;
    let Failure::Late { what, state, .. } = &failure else { panic!("{failure:?}") };
    assert_eq!((what.as_str(), state.as_str(), failure.code()), (eni.as_str(), "Attaching", 1));
    assert!((25..=45).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn enis_are_listed_in_columns() {
    let rig = rig(CloudModel::instant());
    let eni = rig.eni().await;
    let mac = rig.json(&format!("describe-enis {eni}")).await[0]["mac"].as_str().expect("a MAC").to_owned();
    let primary = rig.fake.eni(&eni.as_str().into()).expect("there").primary.to_string();
    let width = eni.len();
    let expected = format!(
        "{:<width$}  STATUS     INSTANCE  VSWITCH  MAC                {:<w2$}  IPV4  IPV6  PREFIXES\n\
         {eni}  Available  -         vsw-a    {mac}  {primary:<7}  3     0     0\n",
        "ENI",
        "PRIMARY",
        w2 = primary.len().max(7),
    );
    assert_eq!(rig.text("describe-enis").await, expected);
    assert_eq!(rig.text("describe-enis --of-instance i-1").await.lines().count(), 1);
    // The primary NIC of the instance is nobody's of ours.
    assert_eq!(rig.text("describe-enis --on-instance i-1").await.lines().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn lists_are_followed_over_all_of_their_pages() {
    let rig = rig(CloudModel::instant());
    for index in 0..60u8 {
        let block = format!("10.1.{index}.0/24").parse().expect("a block");
        rig.fake.add_vswitch(format!("vsw-{index:03}"), "cn-b", block, None).expect("new");
    }
    let vpc = rig.fake.place().vpc;
    let rows = rig.json(&format!("describe-vswitches --vpc {vpc}")).await;
    assert_eq!(rows.as_array().expect("rows").len(), 61);
    let one = rig.text("describe-vswitches vsw-001").await;
    assert!(one.starts_with("VSWITCH  VPC") && one.contains("cn-b") && one.contains("10.1.1.0/24"), "{one}");
}

#[tokio::test(start_paused = true)]
async fn addresses_come_and_go() {
    let rig = rig(CloudModel::instant());
    let eni = rig.eni().await;
    let given = rig.text(&format!("ip assign {eni} --ipv4 2 --client-token once")).await;
    assert_eq!(given.lines().count(), 2);
    assert_eq!(rig.text(&format!("ip assign {eni} --ipv4 2 --client-token once")).await, given);
    let six = rig.text(&format!("ip assign {eni} --ipv6 1")).await;
    let all = format!("{given} {six}").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(rig.text(&format!("ip unassign {eni} {all}")).await, format!("{eni}: 3 taken away\n"));
    assert_eq!(rig.fake.eni(&eni.as_str().into()).expect("there").addresses.v4.len(), 3);
    assert_eq!(rig.fake.eni(&eni.as_str().into()).expect("there").addresses.v6.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn groups_types_and_routes_are_shown_and_routes_made_and_deleted() {
    let rig = rig(CloudModel::instant());
    let vpc = rig.fake.place().vpc;
    assert_eq!(rig.text("describe-security-groups sg-1 sg-none").await.lines().count(), 2);
    let types = rig.text("describe-instance-type ecs.g7.xlarge").await;
    assert_eq!(types, "TYPE           ENIS  IPV4/ENI  IPV6/ENI\necs.g7.xlarge  4     15        15\n");
    let tables = rig.json(&format!("describe-route-tables {vpc}")).await;
    let table = tables[0]["id"].as_str().expect("a table").to_owned();
    let made = rig.json(&format!("route create {table} 192.168.7.0/24 --instance i-1")).await;
    let entry = made["route_entry"].as_str().expect("an id").to_owned();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let shown = rig.text(&format!("describe-route-entries {table}")).await;
    assert!(shown.contains("Instance i-1") && shown.contains("192.168.7.0/24"), "{shown}");
    assert!(shown.contains("System") && shown.contains("local"), "{shown}");
    let told = rig.text(&format!("route delete {table} {entry}")).await;
    assert!(told.contains("192.168.7.0/24"), "{told}");
    assert_eq!(rig.failure(&format!("route delete {table} rte-none")).await.code(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_cloud_is_told_whole() {
    let rig = rig(CloudModel::instant());
    let failure = rig.failure("eni attach eni-none i-1").await;
    let text = failure.text();
    assert!(text.contains("code:    InvalidEniId.NotFound") && text.contains("request: "), "{text}");
    assert_eq!(failure.code(), 1);
    let failure = rig.failure("describe-instance-type ecs.g7.xlarg").await;
    assert!(failure.text().contains("ecs.g7.xlarg"), "{}", failure.text());
    let long = "t".repeat(65);
    assert_eq!(rig.failure(&format!("ip assign eni-1 --ipv4 1 --client-token {long}")).await.code(), 2);
}
