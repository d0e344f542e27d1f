//! The fake cloud as its clients meet it: documented answers, times, faults, and the same for a seed.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use ipnet::Ipv4Net;
use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{
        Action, Assign, Cloud, CloudError, CreateEni, Eni, EniFilter, EniStatus, RetryClass, TAG_INSTANCE,
        VSwitchFilter,
    },
    id::{EniId, InstanceId, Mac, VSwitchId},
    limits::InstanceLimits,
};
use terway_sim::cloud::{
    BucketModel, CloudModel, CloudObserver, EniEvent, FakeCloud, FaultKind, FaultWindow, InstanceState,
    MetadataFault, Removal, SetupError, Span, instance_types,
};
use tokio::time::{Instant, advance, sleep, timeout};

// === Builders ===

const ZONE: &str = "cn-a";

fn fresh() -> CloudModel {
    CloudModel { read_lag: Span::new(0, 0), metadata_lag: Span::new(0, 0), ..CloudModel::default() }
}

struct Rig {
    cloud: Arc<FakeCloud>,
    node: Arc<dyn Cloud>,
    id: InstanceId,
}

/// One g7.xlarge (4 ENIs of 15 + 15 addresses) and a /24 with IPv6.
fn rig_with(model: CloudModel) -> Rig {
    let cloud = FakeCloud::new(model, 7);
    cloud
        .add_vswitch("vsw-a", ZONE, net("10.0.0.0/24"), Some("fd00::/64".parse().expect("block")))
        .expect("new");
    cloud.add_vswitch("vsw-b", "cn-b", net("10.1.0.0/24"), None).expect("new");
    cloud.add_security_group("sg-1", "pods");
    add_node(&cloud, "i-1");
    Rig { node: cloud.client("i-1"), cloud, id: "i-1".into() }
}

fn rig() -> Rig {
    rig_with(fresh())
}

fn add_node(cloud: &Arc<FakeCloud>, id: &str) {
    cloud.add_instance(id, "ecs.g7.xlarge", ZONE, &vsw("vsw-a")).expect("room");
}

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a block")
}

fn vsw(id: &str) -> VSwitchId {
    id.into()
}

fn v4(count: u32) -> AddressCount {
    AddressCount { v4: count, ..AddressCount::default() }
}

fn v6(count: u32) -> AddressCount {
    AddressCount { v6: count, ..AddressCount::default() }
}

fn prefixes(count: u32) -> AddressCount {
    AddressCount { prefixes: count, ..AddressCount::default() }
}

fn create(token: &str, count: AddressCount) -> CreateEni {
    create_for("i-1", token, count)
}

fn create_for(instance: &str, token: &str, count: AddressCount) -> CreateEni {
    CreateEni {
        token: token.into(),
        vswitch: vsw("vsw-a"),
        security_groups: vec!["sg-1".into()],
        count,
        tags: vec![("creator".into(), "terway".into()), (TAG_INSTANCE.into(), instance.into())],
    }
}

fn assign(token: &str, eni: &EniId, count: AddressCount) -> Assign {
    Assign { token: token.into(), eni: eni.clone(), count }
}

fn singles(addresses: &[Ipv4Addr]) -> AddressSet {
    AddressSet { v4: addresses.to_vec(), ..AddressSet::default() }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, CloudError>) -> String {
    outcome.expect_err("a refusal").code
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Rig {
    async fn made(&self, token: &str, count: AddressCount) -> Eni {
        self.node.create_eni(&create(token, count)).await.expect("made")
    }

    async fn attached(&self, token: &str, count: AddressCount) -> Eni {
        let eni = self.made(token, count).await;
        self.node.attach_eni(&eni.id, &self.id).await.expect("attached");
        sleep(secs(7)).await;
        assert_eq!(self.status(&eni.id), Some(EniStatus::InUse));
        eni
    }

    fn status(&self, eni: &EniId) -> Option<EniStatus> {
        self.cloud.eni(eni).map(|eni| eni.status)
    }

    async fn listed(&self) -> Vec<Eni> {
        let page = self.node.describe_enis(&EniFilter::OfInstance(self.id.clone()), None).await;
        page.expect("a page").rows
    }

    fn fault(&self, kind: FaultKind) {
        self.cloud.add_window(FaultWindow::new(kind, secs(3600)));
    }
}

/// Writes down everything it is told, with the time.
struct Log {
    start: Instant,
    lines: Mutex<Vec<String>>,
}

impl Log {
    fn on(cloud: &FakeCloud) -> Arc<Self> {
        let log = Arc::new(Self { start: Instant::now(), lines: Mutex::default() });
        cloud.set_observer(log.clone());
        log
    }

    fn add(&self, line: &str) {
        let at = self.start.elapsed().as_millis();
        self.lines.lock().expect("lines").push(format!("{at} {line}"));
    }

    fn with(&self, part: &str) -> Vec<String> {
        self.lines.lock().expect("lines").iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl CloudObserver for Log {
    fn call_started(
        &self,
        instance: Option<&InstanceId>,
        action: Action,
        request: &terway_sim::cloud::RequestSummary,
    ) {
        self.add(&format!("start {instance:?} {action} {}", request.addresses_asked));
    }
    fn call_finished(
        &self,
        instance: Option<&InstanceId>,
        action: Action,
        _request: &terway_sim::cloud::RequestSummary,
        outcome: Result<(), &CloudError>,
        wasted: bool,
    ) {
        let code = outcome.err().map(|error| error.code.clone());
        self.add(&format!("finish {instance:?} {action} {code:?} wasted={wasted}"));
    }
    fn eni_changed(&self, instance: Option<&InstanceId>, eni: &EniId, event: EniEvent) {
        self.add(&format!("eni {instance:?} {eni} {event:?}"));
    }
    fn addresses_added(&self, eni: &EniId, ips: &[IpAddr]) {
        self.add(&format!("added {eni} {ips:?}"));
    }
    fn addresses_removed(&self, eni: &EniId, ips: &[IpAddr], why: &Removal) {
        self.add(&format!("removed {eni} {ips:?} {why:?}"));
    }
    fn nic_appeared(&self, instance: &InstanceId, mac: Mac) {
        self.add(&format!("nic+ {instance} {mac}"));
    }
    fn nic_vanished(&self, instance: &InstanceId, mac: Mac) {
        self.add(&format!("nic- {instance} {mac}"));
    }
}

// === Life of an ENI ===

#[tokio::test(start_paused = true)]
async fn an_eni_lives_through_its_states_in_the_documented_times() {
    let rig = rig();
    let log = Log::on(&rig.cloud);
    let start = Instant::now();
    let eni = rig.made("t", v4(3)).await;
    assert!((500..=2005).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert_eq!(
        (eni.status, eni.addresses.v4.len(), eni.addresses.v4[0]),
        (EniStatus::Available, 3, eni.primary)
    );
    let owner = rig.cloud.owner_of(IpAddr::V4(eni.primary));
    assert_eq!(owner, Some((eni.id.clone(), EniStatus::Available, None)));

    let start = Instant::now();
    rig.node.attach_eni(&eni.id, &rig.id).await.expect("attach begins");
    assert!((200..=505).contains(&start.elapsed().as_millis()));
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Attaching));
    while rig.status(&eni.id) != Some(EniStatus::InUse) {
        sleep(Duration::from_millis(10)).await;
    }
    assert!((2100..=6520).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    sleep(secs(2)).await;
    assert_eq!(log.with("nic+ i-1").len(), 1);

    rig.node.detach_eni(&eni.id, &rig.id).await.expect("detach begins");
    rig.node.detach_eni(&eni.id, &rig.id).await.expect("allowed again while detaching");
    assert_eq!(code(rig.node.delete_eni(&eni.id).await), "InvalidOperation.InvalidEniState");
    sleep(secs(7)).await;
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Available));
    assert_eq!(log.with("nic- i-1").len(), 1);

    rig.node.delete_eni(&eni.id).await.expect("delete begins");
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Deleting));
    assert!(rig.cloud.owner_of(IpAddr::V4(eni.primary)).is_some(), "addresses go with the ENI, not before");
    rig.node.delete_eni(&eni.id).await.expect("allowed again while deleting");
    sleep(secs(4)).await;
    assert_eq!(rig.status(&eni.id), None);
    assert_eq!(rig.cloud.owner_of(IpAddr::V4(eni.primary)), None);
    assert_eq!(log.with("removed")[0].matches("10.0.0.").count(), 3);
    assert!(log.with("removed")[0].contains("ByInstance(i-1)"));
    let class = |outcome: Result<(), CloudError>| outcome.expect_err("gone").class;
    assert_eq!(class(rig.node.delete_eni(&eni.id).await), RetryClass::AlreadyDone);
    assert_eq!(class(rig.node.attach_eni(&eni.id, &rig.id).await), RetryClass::Converge);
}

#[tokio::test(start_paused = true)]
async fn attach_is_refused_with_the_documented_codes() {
    let rig = rig();
    let eni = rig.made("t", v4(1)).await;
    let attach = async |eni: &EniId, instance: &str| code(rig.node.attach_eni(eni, &instance.into()).await);
    assert_eq!(attach(&eni.id, "i-none").await, "InvalidEcsId.NotFound");
    assert_eq!(attach(&"eni-none".into(), "i-1").await, "InvalidEniId.NotFound");
    rig.cloud.set_instance_state(&rig.id, InstanceState::Stopping);
    assert_eq!(attach(&eni.id, "i-1").await, "InvalidOperation.InvalidEcsState");
    rig.cloud.set_instance_state(&rig.id, InstanceState::Stopped);
    let elsewhere = CreateEni { vswitch: vsw("vsw-b"), ..create("b", v4(1)) };
    let elsewhere = rig.node.create_eni(&elsewhere).await.expect("made");
    assert_eq!(attach(&elsewhere.id, "i-1").await, "InvalidOperation.AvailabilityZoneMismatch");
    let full = rig.made("full", v4(16)).await;
    assert_eq!(attach(&full.id, "i-1").await, "InvalidOperation.Ipv4CountExceeded");
    let primary = rig.cloud.enis_of(&rig.id)[0].id.clone();
    assert_eq!(attach(&primary, "i-1").await, "InvalidOperation.InvalidEniType");
    let detached = rig.node.detach_eni(&primary, &rig.id).await;
    assert_eq!(code(detached), "InvalidOperation.DetachPrimaryEniNotAllowed");
    assert_eq!(code(rig.node.detach_eni(&eni.id, &rig.id).await), "InvalidOperation.InvalidEniState");
    let nowhere = rig.node.detach_eni(&eni.id, &"i-none".into()).await.expect_err("no instance");
    assert_eq!((nowhere.code.as_str(), nowhere.class), ("InvalidEcsId.NotFound", RetryClass::AlreadyDone));
    rig.node.attach_eni(&eni.id, &rig.id).await.expect("stopped instances take ENIs");
    assert_eq!(attach(&eni.id, "i-1").await, "InvalidOperation.InvalidEniState");
}

#[tokio::test(start_paused = true)]
async fn an_attaching_eni_counts_toward_the_limit_of_the_instance() {
    let rig = rig();
    for index in 0..3 {
        let eni = rig.made(&format!("t{index}"), v4(1)).await;
        rig.node.attach_eni(&eni.id, &rig.id).await.expect("room");
    }
    let fourth = rig.made("t3", v4(1)).await;
    let refused = rig.node.attach_eni(&fourth.id, &rig.id).await.expect_err("full");
    assert_eq!((refused.code.as_str(), refused.class), ("EniPerInstanceLimitExceeded", RetryClass::Quota));
    rig.cloud.limit_change(&rig.id, InstanceLimits::new(5, 15, 15));
    rig.node.attach_eni(&fourth.id, &rig.id).await.expect("the limit was raised");
    let told = rig.node.describe_instance_type(&"ecs.g7.xlarge".into()).await.expect("own type");
    assert_eq!(told.eni_quantity, 5);
}

#[tokio::test(start_paused = true)]
async fn create_is_refused_with_the_documented_codes() {
    let rig = rig_with(CloudModel { account_eni_quota: 1, ..fresh() });
    let refused = async |request: CreateEni| code(rig.node.create_eni(&request).await);
    assert_eq!(refused(create("a", v4(0))).await, "InvalidParameter");
    assert_eq!(refused(create("a", v4(51))).await, "InvalidParameter");
    assert_eq!(
        refused(create("a", AddressCount { prefixes: 1, ..v4(2) })).await,
        "InvalidParameter.Conflict"
    );
    let no_group = CreateEni { security_groups: Vec::new(), ..create("a", v4(1)) };
    assert_eq!(refused(no_group).await, "MissingParameter");
    let no_vswitch = CreateEni { vswitch: vsw("vsw-none"), ..create("a", v4(1)) };
    assert_eq!(refused(no_vswitch).await, "InvalidVSwitchId.NotFound");
    let no_ipv6 = CreateEni { vswitch: vsw("vsw-b"), ..create("a", AddressCount { v6: 1, ..v4(1) }) };
    assert_eq!(refused(no_ipv6).await, "InvalidVSwitch.Ipv6NotTurnOn");
    rig.made("a", v4(1)).await;
    assert_eq!(refused(create("b", v4(1))).await, "MaxEniCountExceeded");
}

// === Tokens ===

#[tokio::test(start_paused = true)]
async fn a_token_gives_its_first_result_again_for_a_day() {
    let rig = rig();
    let first = rig.made("t", v4(2)).await;
    let free = rig.cloud.vswitch_free(&vsw("vsw-a"));
    assert_eq!(rig.made("t", v4(2)).await, first);
    assert_eq!(rig.cloud.vswitch_free(&vsw("vsw-a")), free);
    let other = rig.node.create_eni(&create("t", v4(3))).await;
    assert_eq!(code(other), "IdempotentParameterMismatch");
    let added = rig.node.assign_ipv4(&assign("t", &first.id, v4(2))).await.expect("room");
    assert_eq!(rig.node.assign_ipv4(&assign("t", &first.id, v4(2))).await.expect("again"), added);
    advance(secs(24 * 3600)).await;
    assert_ne!(rig.made("t", v4(2)).await.id, first.id);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_leaves_its_token_free() {
    let rig = rig();
    rig.cloud.exhaust_vswitch(&vsw("vsw-a"), 1);
    assert_eq!(code(rig.node.create_eni(&create("t", v4(2))).await), "InvalidVSwitchId.IpNotEnough");
    rig.made("t", v4(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_is_applied_although_its_caller_died() {
    let rig = rig();
    let died = timeout(Duration::from_millis(1), rig.node.create_eni(&create("t", v4(2)))).await;
    assert!(died.is_err());
    assert_eq!(rig.cloud.all_ours().len(), 0, "not even arrived");
    sleep(secs(3)).await;
    let made = rig.cloud.all_ours();
    assert_eq!(made.len(), 1);
    assert_eq!(rig.made("t", v4(2)).await.id, made[0].id);
    assert_eq!(rig.cloud.all_ours().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_progress_is_refused_until_its_first_request_is_answered() {
    let slow = CloudModel { create: Span::new(4000, 4000), ..fresh() };
    let rig = rig_with(slow);
    let died = timeout(Duration::from_millis(100), rig.node.create_eni(&create("t", v4(1)))).await;
    assert!(died.is_err());
    // Arrives while the first, applied after 2 s, has not been answered (4 s).
    sleep(Duration::from_millis(900)).await;
    let busy = rig.node.create_eni(&create("t", v4(1))).await.expect_err("in progress");
    assert_eq!((busy.code.as_str(), busy.class), ("IdempotentProcessing", RetryClass::Transient));
    rig.made("t", v4(1)).await;
    assert_eq!(rig.cloud.all_ours().len(), 1);
}

// === Addresses ===

#[tokio::test(start_paused = true)]
async fn addresses_come_and_go_within_the_limits_of_the_eni() {
    let rig = rig();
    let eni = rig.attached("t", v4(1)).await;
    let ten = rig.node.assign_ipv4(&assign("a", &eni.id, v4(10))).await.expect("room");
    assert_eq!(ten.v4.len(), 10);
    assert_eq!(
        code(rig.node.assign_ipv4(&assign("b", &eni.id, v4(5))).await),
        "InvalidOperation.Ipv4CountExceeded"
    );
    rig.node.assign_ipv4(&assign("c", &eni.id, v4(4))).await.expect("fifteen in all");
    rig.node.unassign_ipv4(&eni.id, &singles(&ten.v4[..2])).await.expect("taken away");
    assert_eq!(rig.cloud.owner_of(IpAddr::V4(ten.v4[0])), None);
    let again = rig.node.unassign_ipv4(&eni.id, &singles(&ten.v4[..3])).await.expect_err("two are gone");
    assert_eq!((again.code.as_str(), again.class), ("InvalidIp.IpUnassigned", RetryClass::AlreadyDone));
    assert!(rig.cloud.owner_of(IpAddr::V4(ten.v4[2])).is_some(), "all or nothing");
    assert_eq!(
        code(rig.node.unassign_ipv4(&eni.id, &singles(&[eni.primary])).await),
        "InvalidIp.IpUnassigned"
    );
    let quick = rig.node.assign_ipv4(&assign("d", &eni.id, v4(2))).await.expect("room again");
    assert_eq!(quick.v4, ten.v4[..2], "what was released goes out first");
}

#[tokio::test(start_paused = true)]
async fn malformed_address_calls_are_refused() {
    let rig = rig();
    let eni = rig.made("t", v4(1)).await;
    let refused = async |count| code(rig.node.assign_ipv4(&assign("a", &eni.id, count)).await);
    assert_eq!(refused(v4(0)).await, "MissingParameter");
    assert_eq!(refused(v4(11)).await, "InvalidParameter");
    assert_eq!(refused(v6(1)).await, "InvalidParameter");
    assert_eq!(refused(AddressCount { prefixes: 1, ..v4(1) }).await, "InvalidParameter.Conflict");
    let gone = rig.node.assign_ipv4(&assign("a", &"eni-none".into(), v4(1))).await;
    assert_eq!(code(gone), "InvalidEniId.NotFound");
    let set = rig.node.assign_ipv4(&assign("b", &eni.id, v4(1))).await.expect("room");
    let twice = singles(&[set.v4[0], set.v4[0]]);
    assert_eq!(code(rig.node.unassign_ipv4(&eni.id, &twice).await), "InvalidIp.IpRepeated");
    rig.node.attach_eni(&eni.id, &rig.id).await.expect("attaching");
    assert_eq!(refused(v4(1)).await, "InvalidOperation.InvalidEniState");
    assert_eq!(code(rig.node.unassign_ipv4(&eni.id, &set).await), "InvalidOperation.InvalidEniState");
}

#[tokio::test(start_paused = true)]
async fn an_unattached_eni_takes_forty_nine_secondary_addresses() {
    let rig = rig();
    let eni = rig.made("t", v4(50)).await;
    assert_eq!(
        code(rig.node.assign_ipv4(&assign("a", &eni.id, v4(1))).await),
        "InvalidOperation.Ipv4CountExceeded"
    );
}

#[tokio::test(start_paused = true)]
async fn prefixes_are_aligned_whole_and_take_one_slot() {
    let rig = rig();
    let log = Log::on(&rig.cloud);
    let eni = rig.attached("t", AddressCount { prefixes: 4, ..v4(1) }).await;
    assert!(
        eni.addresses.prefixes.iter().all(|prefix| prefix.prefix_len() == 28 && prefix.trunc() == *prefix)
    );
    assert_eq!(log.with("added")[0].matches("10.0.0.").count(), 65);
    let set = rig.node.assign_ipv4(&assign("a", &eni.id, prefixes(10))).await.expect("fifteen slots");
    let third = IpAddr::V4(set.prefixes[3].hosts().nth(5).expect("sixteen"));
    assert_eq!(rig.cloud.owner_of(third).map(|(owner, ..)| owner), Some(eni.id.clone()));
    let refused = rig.node.assign_ipv4(&assign("b", &eni.id, prefixes(1))).await;
    assert_eq!(code(refused), "InvalidOperation.Ipv4CountExceeded");
    let one = AddressSet { prefixes: vec![set.prefixes[3]], ..AddressSet::default() };
    rig.node.unassign_ipv4(&eni.id, &one).await.expect("taken away");
    assert_eq!(rig.cloud.owner_of(third), None);
    let other = rig.made("u", v4(1)).await;
    let refused = rig.node.assign_ipv4(&assign("c", &other.id, prefixes(2))).await;
    assert_eq!(code(refused), "InvalidVSwitchId.IpNotEnough");
    assert_eq!(rig.node.assign_ipv4(&assign("d", &other.id, prefixes(1))).await.expect("one is left"), one);
}

#[tokio::test(start_paused = true)]
async fn dual_stack_has_quotas_of_its_own() {
    let rig = rig();
    let eni = rig.attached("t", AddressCount { v6: 10, ..v4(10) }).await;
    assert_eq!(eni.addresses.v6.len(), 10);
    let set = rig.node.assign_ipv6(&assign("a", &eni.id, v6(5))).await.expect("fifteen");
    assert_eq!(rig.cloud.owner_of(IpAddr::V6(set.v6[4])).map(|(owner, ..)| owner), Some(eni.id.clone()));
    assert_eq!(
        code(rig.node.assign_ipv6(&assign("b", &eni.id, v6(1))).await),
        "InvalidOperation.Ipv6CountExceeded"
    );
    rig.node.unassign_ipv6(&eni.id, &set).await.expect("taken away");
    assert_eq!(rig.cloud.owner_of(IpAddr::V6(set.v6[4])), None);
    rig.cloud.limit_change(&rig.id, InstanceLimits::new(4, 15, 0));
    assert_eq!(
        code(rig.node.assign_ipv6(&assign("c", &eni.id, v6(1))).await),
        "InvalidOperation.Ipv6NotSupport"
    );
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_vswitch_gives_all_or_nothing_until_relieved() {
    let rig = rig();
    let id = vsw("vsw-a");
    assert_eq!(rig.cloud.vswitch_free(&id), 256 - 4 - 1, "first, last three, a primary NIC");
    let eni = rig.made("t", v4(1)).await;
    rig.cloud.exhaust_vswitch(&id, 3);
    let told = rig.node.describe_vswitches(&VSwitchFilter::Id(id.clone()), None).await.expect("told");
    assert!(told.rows[0].available <= 3);
    let refused = rig.node.assign_ipv4(&assign("a", &eni.id, v4(4))).await.expect_err("three are left");
    assert_eq!(refused.class, RetryClass::VSwitchExhausted);
    assert_eq!(rig.cloud.vswitch_free(&id), 3);
    let set = rig.node.assign_ipv4(&assign("a", &eni.id, v4(3))).await.expect("three are left");
    rig.node.unassign_ipv4(&eni.id, &set).await.expect("taken away");
    assert_eq!(rig.cloud.vswitch_free(&id), 3, "what is released can be had");
    rig.cloud.relieve_vswitch(&id);
    rig.node.assign_ipv4(&assign("b", &eni.id, v4(10))).await.expect("relieved");
}

#[tokio::test(start_paused = true)]
async fn a_vswitch_gives_each_of_its_addresses_once() {
    let rig = rig();
    rig.cloud.add_vswitch("vsw-s", ZONE, net("10.9.0.8/29"), None).expect("new");
    let request = CreateEni { vswitch: vsw("vsw-s"), ..create("t", v4(4)) };
    let eni = rig.node.create_eni(&request).await.expect("four");
    let last = eni.addresses.v4.iter().map(|ip| ip.octets()[3]).collect::<Vec<_>>();
    assert_eq!(last, [9, 10, 11, 12], "8 and 13 to 15 are reserved");
    assert_eq!(rig.cloud.vswitch_free(&vsw("vsw-s")), 0);
    let clash = rig.cloud.add_vswitch("vsw-x", ZONE, net("10.9.0.0/24"), None);
    assert_eq!(clash, Err(SetupError::BadBlock(net("10.9.0.0/24"))));
}

// === Rates ===

#[tokio::test(start_paused = true)]
async fn the_account_bucket_gives_its_burst_and_then_its_rate() {
    let account_bucket = Some(BucketModel { capacity: 120, refill_per_second: 20.0 });
    let describe = Span::new(100, 100);
    let rig = rig_with(CloudModel { account_bucket, action_factor: 0.0, describe, ..fresh() });
    let burst = async |calls: usize| {
        let filter = EniFilter::OfInstance(rig.id.clone());
        let calls = (0..calls).map(|_| rig.node.describe_enis(&filter, None));
        let answers = futures::future::join_all(calls).await;
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(refused.iter().all(|error| error.class == RetryClass::Throttled));
        answers.len() - refused.len()
    };
    assert_eq!(burst(200).await, 120);
    // The calls of a burst arrive within 1 to 2 ms; the next burst begins at once after the last.
    sleep(secs(1)).await;
    let refilled = burst(200).await;
    assert!((20..=24).contains(&refilled), "{refilled}");
    sleep(secs(3600)).await;
    assert_eq!(burst(200).await, 120);
    let codes = rig.cloud.counters().codes;
    assert!(["Throttling", "Throttling.User", "Throttling.Api"].iter().all(|code| codes.contains_key(*code)));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_takes_nothing_and_is_answered_quickly() {
    let bucket = BucketModel { capacity: 2, refill_per_second: 1.0 };
    let action_buckets = [(Action::DeleteNetworkInterface, bucket)].into();
    let rig = rig_with(CloudModel { action_buckets, delete: Span::new(200, 200), ..fresh() });
    let delete = async || code(rig.node.delete_eni(&"eni-none".into()).await);
    assert_eq!(delete().await, "InvalidEniId.NotFound");
    assert_eq!(delete().await, "InvalidEniId.NotFound");
    let start = Instant::now();
    assert!(delete().await.starts_with("Throttling"));
    assert!(start.elapsed() < Duration::from_millis(190), "{:?}", start.elapsed());
    sleep(Duration::from_millis(600)).await;
    assert_eq!(delete().await, "InvalidEniId.NotFound");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_one_bucket_refuses_takes_nothing_from_the_other() {
    let account_bucket = Some(BucketModel { capacity: 1, refill_per_second: 0.1 });
    let action_buckets =
        [(Action::DeleteNetworkInterface, BucketModel { capacity: 2, refill_per_second: 0.0 })].into();
    let rig = rig_with(CloudModel { account_bucket, action_buckets, ..fresh() });
    let delete = async || code(rig.node.delete_eni(&"eni-none".into()).await);
    assert_eq!(delete().await, "InvalidEniId.NotFound");
    for _ in 0..5 {
        assert!(delete().await.starts_with("Throttling"));
    }
    sleep(secs(10)).await;
    assert_eq!(delete().await, "InvalidEniId.NotFound", "the action had one left");
    sleep(secs(10)).await;
    assert!(delete().await.starts_with("Throttling"), "and has none now");
}

// === Reads ===

#[tokio::test(start_paused = true)]
async fn reads_lag_in_both_directions() {
    let rig = rig();
    rig.cloud.add_window(FaultWindow::new(FaultKind::StaleRead { lag_ms: 5000 }, secs(8)));
    let eni = rig.made("t", v4(1)).await;
    assert_eq!(rig.listed().await, [], "made less than 5 s ago");
    sleep(secs(10)).await;
    assert_eq!(rig.listed().await.len(), 1);
    rig.fault(FaultKind::StaleRead { lag_ms: 5000 });
    rig.node.delete_eni(&eni.id).await.expect("deleting");
    sleep(secs(4)).await;
    assert_eq!(rig.status(&eni.id), None);
    assert_eq!(rig.listed().await.len(), 1, "gone less than 5 s ago");
    let by_id = rig.node.describe_enis(&EniFilter::Ids(vec![eni.id.clone()]), None).await.expect("a page");
    assert_eq!(by_id.rows.len(), 1);
    sleep(secs(6)).await;
    assert_eq!(rig.listed().await, []);
    rig.cloud.heal();
    rig.made("u", v4(1)).await;
    assert_eq!(rig.listed().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn ours_come_in_pages_sorted_by_id() {
    let rig = rig();
    for index in 0..230 {
        let owner = format!("i-{}", index % 2 + 1);
        rig.node.create_eni(&create_for(&owner, &format!("t{index}"), v4(1))).await.expect("made");
    }
    let (mut next, mut ids, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = rig.node.describe_enis(&EniFilter::Ours, next).await.expect("a page");
        ids.extend(page.rows.into_iter().map(|eni| eni.id));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!((pages, ids.len()), (3, 230));
    assert!(ids.is_sorted());
    assert_eq!(rig.listed().await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn metadata_lags_and_fails_as_told() {
    let rig = rig();
    let metadata = rig.cloud.metadata("i-1");
    let identity = metadata.identity().await.expect("told");
    assert_eq!((identity.instance_type.as_str(), identity.zone.as_str()), ("ecs.g7.xlarge", ZONE));
    let eni = rig.attached("t", AddressCount { v6: 2, ..v4(3) }).await;
    let nics = metadata.interfaces().await.expect("told");
    assert_eq!(nics.len(), 2);
    let nic = nics.iter().find(|nic| nic.eni == eni.id).expect("listed");
    assert_eq!((nic.mac, nic.addresses.len(), nic.gateway), (eni.mac, 5, Ipv4Addr::new(10, 0, 0, 253)));
    sleep(secs(10)).await;
    rig.cloud.out_of_band_delete(&eni.id);
    let set = |fault| rig.cloud.set_metadata_fault(&rig.id, fault);
    set(MetadataFault { lag: Some(secs(5)), ..MetadataFault::default() });
    assert_eq!(metadata.interfaces().await.expect("told").len(), 2, "gone less than 5 s ago");
    set(MetadataFault { empty: true, ..MetadataFault::default() });
    assert_eq!(metadata.interfaces().await.expect("told"), []);
    set(MetadataFault { unreachable: true, ..MetadataFault::default() });
    assert!(metadata.identity().await.is_err() && metadata.interfaces().await.is_err());
    rig.cloud.heal();
    assert_eq!(metadata.interfaces().await.expect("told").len(), 1);
}

// === Faults ===

#[tokio::test(start_paused = true)]
async fn refusing_faults_apply_nothing() {
    let kinds = [
        (FaultKind::Throttle { code: "Throttling.Api".into() }, vec!["Throttling.Api"]),
        (FaultKind::Error, vec!["InternalError", "ServiceUnavailable"]),
        (FaultKind::Denied, vec!["Forbidden.RAM"]),
        (FaultKind::Conflict, vec!["Operation.Conflict"]),
        (FaultKind::BadState, vec!["InvalidOperation.InvalidEniState"]),
        (
            FaultKind::Quota { code: "QuotaExceeded.PrivateIpAddress".into() },
            vec!["QuotaExceeded.PrivateIpAddress"],
        ),
        (FaultKind::Unreachable, vec!["Unreachable"]),
    ];
    let rig = rig();
    let eni = rig.made("t", v4(1)).await;
    for (kind, codes) in kinds {
        let id = rig.cloud.add_window(FaultWindow::new(kind, secs(60)));
        let refused = code(rig.node.assign_ipv4(&assign("a", &eni.id, v4(1))).await);
        assert!(codes.contains(&refused.as_str()), "{refused}");
        assert_eq!(rig.cloud.eni(&eni.id).expect("there").addresses.v4.len(), 1);
        assert!(rig.cloud.remove_window(id));
    }
    rig.node.assign_ipv4(&assign("a", &eni.id, v4(1))).await.expect("no fault is left");
}

#[tokio::test(start_paused = true)]
async fn a_window_is_for_its_instance_and_action_and_time() {
    let rig = rig();
    add_node(&rig.cloud, "i-2");
    let other = rig.cloud.client("i-2");
    let window = FaultWindow::new(FaultKind::Error, secs(10)).of("i-2").on(Action::DescribeVSwitches);
    rig.cloud.add_window(window);
    let one = VSwitchFilter::Id(vsw("vsw-a"));
    rig.node.describe_vswitches(&one, None).await.expect("another instance");
    other.describe_enis(&EniFilter::Ours, None).await.expect("another action");
    assert!(other.describe_vswitches(&one, None).await.is_err());
    sleep(secs(10)).await;
    other.describe_vswitches(&one, None).await.expect("over");
    let half = FaultWindow::new(FaultKind::Denied, secs(3600)).with_probability(0.5);
    rig.cloud.add_window(half);
    let mut denied = 0;
    for _ in 0..200 {
        denied += u32::from(rig.node.describe_vswitches(&one, None).await.is_err());
    }
    assert!((70..130).contains(&denied), "{denied}");
    assert_eq!(rig.cloud.counters().faults["denied"], u64::from(denied));
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_lost_answers_look_alike_to_the_caller() {
    let rig = rig();
    for (kind, made) in [(FaultKind::Timeout, 0), (FaultKind::AppliedTimeout, 1)] {
        let id = rig.cloud.add_window(FaultWindow::new(kind, secs(60)).on(Action::CreateNetworkInterface));
        let start = Instant::now();
        assert_eq!(code(rig.node.create_eni(&create("t", v4(1))).await), "Timeout");
        assert!((10_000..10_010).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert_eq!(rig.cloud.all_ours().len(), made);
        rig.cloud.remove_window(id);
    }
    let first = rig.cloud.all_ours()[0].id.clone();
    assert_eq!(rig.made("t", v4(1)).await.id, first, "the token finds what was applied");
    rig.fault(FaultKind::AppliedError);
    assert_eq!(code(rig.node.create_eni(&create("u", v4(1))).await), "InternalError");
    assert_eq!(rig.cloud.all_ours().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_slower_than_the_callers_patience_is_applied_late() {
    let rig = rig();
    rig.fault(FaultKind::Slow { factor: 60.0 });
    let start = Instant::now();
    assert_eq!(code(rig.node.create_eni(&create("t", v4(1))).await), "Timeout");
    assert!(start.elapsed() < secs(11));
    assert_eq!(rig.cloud.all_ours().len(), 0);
    sleep(secs(60)).await;
    assert_eq!(rig.cloud.all_ours().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_partial_assign_gives_fewer_but_at_least_one() {
    let rig = rig();
    let eni = rig.made("t", v4(1)).await;
    rig.fault(FaultKind::Partial);
    for index in 0..4 {
        let set = rig.node.assign_ipv4(&assign(&format!("a{index}"), &eni.id, v4(5))).await.expect("some");
        assert!((1..5).contains(&set.v4.len()), "{set:?}");
    }
    let one = rig.node.assign_ipv4(&assign("b", &eni.id, v4(1))).await.expect("one");
    assert_eq!(one.v4.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_transition_ends_when_asked_again_or_after_the_window() {
    let rig = rig();
    let (first, second) = (rig.attached("t", v4(1)).await, rig.attached("u", v4(1)).await);
    let window = FaultWindow::new(FaultKind::StuckState, secs(300)).on(Action::DetachNetworkInterface);
    rig.cloud.add_window(window);
    for eni in [&first, &second] {
        rig.node.detach_eni(&eni.id, &rig.id).await.expect("begun");
    }
    sleep(secs(60)).await;
    assert_eq!(rig.status(&first.id), Some(EniStatus::Detaching));
    rig.node.detach_eni(&first.id, &rig.id).await.expect("again");
    sleep(secs(7)).await;
    assert_eq!(rig.status(&first.id), Some(EniStatus::Available));
    assert_eq!(rig.status(&second.id), Some(EniStatus::Detaching));
    sleep(secs(240)).await;
    assert_eq!(rig.status(&second.id), Some(EniStatus::Available));

    rig.fault(FaultKind::StuckState);
    rig.node.attach_eni(&first.id, &rig.id).await.expect("begun");
    rig.node.delete_eni(&second.id).await.expect("begun");
    sleep(secs(60)).await;
    assert_eq!(rig.status(&first.id), Some(EniStatus::Attaching));
    assert_eq!(rig.status(&second.id), Some(EniStatus::Deleting));
    rig.cloud.heal();
    sleep(secs(1)).await;
    assert_eq!((rig.status(&first.id), rig.status(&second.id)), (Some(EniStatus::InUse), None));
}

#[tokio::test(start_paused = true)]
async fn a_transition_that_was_freed_does_not_end_a_later_one() {
    let rig = rig();
    let eni = rig.attached("t", v4(1)).await;
    let window = FaultWindow::new(FaultKind::StuckState, secs(300)).on(Action::DetachNetworkInterface);
    rig.cloud.add_window(window);
    rig.node.detach_eni(&eni.id, &rig.id).await.expect("begun, and stuck");
    sleep(secs(7)).await;
    rig.node.detach_eni(&eni.id, &rig.id).await.expect("again");
    sleep(secs(7)).await;
    rig.node.attach_eni(&eni.id, &rig.id).await.expect("attached again");
    sleep(secs(7)).await;
    rig.node.detach_eni(&eni.id, &rig.id).await.expect("begun");
    rig.cloud.heal();
    sleep(secs(1)).await;
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Detaching), "it takes its own two seconds");
    sleep(secs(6)).await;
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Available));
}

#[tokio::test(start_paused = true)]
async fn others_meddle_at_the_console() {
    let rig = rig();
    let log = Log::on(&rig.cloud);
    let eni = rig.attached("t", v4(3)).await;
    assert!(!rig.cloud.out_of_band_unassign(IpAddr::V4(eni.primary)));
    assert!(rig.cloud.out_of_band_unassign(IpAddr::V4(eni.addresses.v4[1])));
    assert_eq!(rig.cloud.owner_of(IpAddr::V4(eni.addresses.v4[1])), None);
    assert!(log.with("removed")[0].contains("OutOfBand"));
    assert!(rig.cloud.out_of_band_detach(&eni.id));
    assert!(!rig.cloud.out_of_band_detach(&eni.id));
    sleep(secs(7)).await;
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Available));
    assert!(rig.cloud.out_of_band_delete(&eni.id));
    assert_eq!(rig.status(&eni.id), None);
    let primary = rig.cloud.enis_of(&rig.id)[0].id.clone();
    assert!(!rig.cloud.out_of_band_delete(&primary));
}

#[tokio::test(start_paused = true)]
async fn a_released_instance_takes_its_attached_enis_along() {
    let rig = rig();
    let log = Log::on(&rig.cloud);
    let attached = rig.attached("t", v4(2)).await;
    let attaching = rig.made("u", v4(1)).await;
    let spare = rig.made("v", v4(1)).await;
    sleep(secs(2)).await;
    rig.node.attach_eni(&attaching.id, &rig.id).await.expect("begun");
    assert!(rig.cloud.release_instance(&rig.id));
    assert_eq!((rig.status(&attached.id), rig.status(&attaching.id)), (None, None));
    assert_eq!(rig.status(&spare.id), Some(EniStatus::Available));
    assert_eq!(log.with("InstanceGone").len(), 2);
    assert_eq!(log.with("nic- i-1").len(), 1);
    assert_eq!(rig.cloud.vswitch_free(&vsw("vsw-a")), 252 - 1);
    sleep(secs(20)).await;
    assert_eq!(log.with("nic+").len(), 1, "a timer of a vanished ENI does nothing");
    assert_eq!(code(rig.node.attach_eni(&spare.id, &rig.id).await), "InvalidEcsId.NotFound");
    let collector = rig.cloud.operator_client("leaks");
    let page = collector.describe_enis(&EniFilter::OfInstance(rig.id.clone()), None).await.expect("a page");
    assert_eq!(page.rows.len(), 1);
    collector.delete_eni(&spare.id).await.expect("deleting");
    sleep(secs(4)).await;
    assert!(log.with("removed").last().expect("told").contains("ByOperator"));
}

#[tokio::test(start_paused = true)]
async fn without_delete_on_release_enis_outlive_their_instance() {
    let rig = rig_with(CloudModel { delete_on_release: false, ..fresh() });
    let eni = rig.attached("t", v4(2)).await;
    rig.cloud.release_instance(&rig.id);
    assert_eq!(rig.status(&eni.id), Some(EniStatus::Available));
    assert!(rig.cloud.eni(&eni.id).is_some_and(|eni| eni.instance.is_none()));
}

// === Scenario files ===

#[test]
fn model_and_faults_are_read_from_text() {
    let text = "create = { min_ms = 10, max_ms = 20 }\n\
                [action_buckets.DeleteNetworkInterface]\ncapacity = 5\nrefill_per_second = 2.5\n";
    let model: CloudModel = toml::from_str(text).expect("a model");
    assert_eq!(model.create, Span::new(10, 20));
    assert_eq!(model.action_buckets[&Action::DeleteNetworkInterface].capacity, 5);
    assert_eq!(model.assign, CloudModel::default().assign);
    assert!(toml::from_str::<CloudModel>("craete = { min_ms = 10, max_ms = 20 }").is_err());
    let window =
        FaultWindow::new(FaultKind::StaleRead { lag_ms: 5000 }, secs(9)).of("i-1").with_probability(0.5);
    let text = toml::to_string(&window).expect("plain data");
    assert_eq!(toml::from_str::<FaultWindow>(&text).expect("as written"), window, "{text}");
}

// === Instance types ===

#[tokio::test(start_paused = true)]
async fn an_unknown_type_is_refused_with_the_nearest_name() {
    let rig = rig();
    let refused = rig.cloud.add_instance("i-9", "ecs.g7.xlage", ZONE, &vsw("vsw-a")).expect_err("a typo");
    assert!(refused.to_string().contains("`ecs.g7.xlarge`"), "{refused}");
    let told = rig.node.describe_instance_type(&"ecs.g6.large".into()).await.expect("known");
    assert_eq!(told, InstanceLimits::new(2, 6, 1));
    assert!(rig.node.describe_instance_type(&"ecs.g9.large".into()).await.is_err());
    assert_eq!(instance_types::TABLE.len(), 26);
}

// === Determinism ===

/// What one node does in the runs below.
async fn life(cloud: Arc<FakeCloud>, id: &'static str) {
    let (node, instance) = (cloud.client(id), InstanceId::from(id));
    for round in 0..4 {
        let Ok(eni) = node.create_eni(&create_for(id, &format!("{id}-{round}"), v4(2))).await else {
            continue;
        };
        let _ = node.attach_eni(&eni.id, &instance).await;
        sleep(secs(9)).await;
        let added = node.assign_ipv4(&assign(&format!("{id}-a{round}"), &eni.id, v4(3))).await;
        let _ = node.describe_enis(&EniFilter::OfInstance(instance.clone()), None).await;
        if let Ok(set) = added {
            let _ = node.unassign_ipv4(&eni.id, &set).await;
        }
        let _ = node.detach_eni(&eni.id, &instance).await;
        sleep(secs(9)).await;
        let _ = node.delete_eni(&eni.id).await;
    }
}

/// Everything that is told of a run with these nodes.
fn told(seed: u64, nodes: &[&'static str], faults: bool) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let cloud = FakeCloud::new(CloudModel::default(), seed);
        cloud.add_security_group("sg-1", "pods");
        cloud.add_vswitch("vsw-a", ZONE, net("10.0.0.0/16"), None).expect("new");
        let log = Log::on(&cloud);
        if faults {
            for kind in [FaultKind::Error, FaultKind::AppliedTimeout, FaultKind::StuckState] {
                cloud.add_window(FaultWindow::new(kind, secs(90)).with_probability(0.2));
            }
        }
        for node in nodes {
            add_node(&cloud, node);
        }
        futures::future::join_all(nodes.iter().map(|node| life(cloud.clone(), node))).await;
        sleep(secs(200)).await;
        log.with("")
    })
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let nodes = ["i-1", "i-2", "i-3"];
    let first = told(1, &nodes, true);
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(first, told(1, &nodes, true));
    assert_ne!(first, told(2, &nodes, true));
}

#[test]
fn another_instance_does_not_change_what_happens_to_the_first() {
    let calls_of_first = |nodes: &[&'static str], faults| {
        let mut lines = told(3, nodes, faults);
        lines.retain(|line| line.contains("Some(i-1)") && !line.contains(" eni "));
        lines
    };
    let alone = calls_of_first(&["i-1"], true);
    assert!(alone.len() > 12, "{}", alone.len());
    assert_eq!(alone, calls_of_first(&["i-0", "i-1", "i-2"], true));
    assert_ne!(alone, calls_of_first(&["i-1"], false));
}

// === Size ===

#[test]
fn ten_thousand_nodes_with_fifty_thousand_enis_fit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let wall = wall_clock();
    let calls = runtime.expect("a runtime").block_on(async {
        let cloud = FakeCloud::new(CloudModel { action_factor: 0.0, ..CloudModel::default() }, 1);
        cloud.add_security_group("sg-1", "pods");
        for index in 0..8 {
            let block = Ipv4Net::new(Ipv4Addr::new(10, index, 0, 0), 16).expect("a block");
            cloud.add_vswitch(format!("vsw-{index}"), ZONE, block, None).expect("new");
        }
        let nodes = (0..10_000).map(|index| {
            let (cloud, name) = (cloud.clone(), format!("i-{index:05}"));
            let vswitch = vsw(&format!("vsw-{}", index % 8));
            cloud.add_instance(name.as_str(), "ecs.g7.4xlarge", ZONE, &vswitch).expect("room");
            async move {
                let (node, instance) = (cloud.client(name.as_str()), InstanceId::from(name.as_str()));
                for round in 0..5 {
                    let request = CreateEni {
                        vswitch: vswitch.clone(),
                        ..create_for(&name, &format!("{name}-{round}"), v4(8))
                    };
                    let eni = node.create_eni(&request).await.expect("made");
                    node.attach_eni(&eni.id, &instance).await.expect("begun");
                    node.assign_ipv4(&assign(&format!("{name}-{round}"), &eni.id, v4(2))).await.ok();
                    node.describe_enis(&EniFilter::OfInstance(instance.clone()), None).await.expect("a page");
                }
            }
        });
        futures::future::join_all(nodes).await;
        sleep(secs(60)).await;
        let ours = cloud.all_ours();
        assert_eq!(ours.len(), 50_000);
        assert!(ours.iter().all(|eni| eni.status == EniStatus::InUse));
        cloud.counters().calls.values().map(|counts| counts.started).sum::<u64>()
    });
    assert_eq!(calls, 200_000);
    let seconds = wall().as_secs_f64();
    println!("{calls} calls and 50,000 ENIs in {seconds:.1} s: {:.0} calls/s", calls as f64 / seconds);
}

/// Real time from now on, for a figure that people read.
#[expect(clippy::disallowed_types, reason = "measures the test itself; nothing is decided by it")]
fn wall_clock() -> impl Fn() -> Duration {
    let start = std::time::Instant::now();
    move || start.elapsed()
}
