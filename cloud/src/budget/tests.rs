//! The budget as its callers see it, in virtual time.

use std::sync::Mutex;

use async_trait::async_trait;
use terway_core::cloud::{
    Assign, Cloud, CreateEni, CreateRoute, Eni, EniFilter, Page, RouteEntry, RouteTable, SecurityGroup,
    VSwitch, VSwitchFilter,
};
use terway_core::{
    address::AddressSet,
    id::{EniId, InstanceId, InstanceType, RouteEntryId, RouteTableId, SecurityGroupId, VpcId},
    limits::InstanceLimits,
};
use tokio::task::JoinSet;

use super::*;

const ACTION: Action = Action::DeleteNetworkInterface;

/// One call per second after the first sixty.
fn budget() -> Budget {
    Budget::new(&BTreeMap::from([(ACTION.name().to_owned(), 60)])).expect("an action")
}

/// A turn that is lost would be waited for without end.
async fn soon<T>(wait: impl std::future::Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3_600), wait).await.expect("a turn was lost")
}

async fn drain(budget: &Budget) {
    let share = budget.share("before");
    for _ in 0..60 {
        assert_eq!(share.turn(ACTION).await, Duration::ZERO);
    }
}

/// Runs tasks that each wait for a turn; returns their names in the order of the turns.
async fn order(budget: &Budget, names: &[&'static str]) -> Vec<(&'static str, u64)> {
    let served = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for name in names {
        let (share, served, name) = (budget.share(*name), served.clone(), *name);
        tasks.spawn(async move {
            share.turn(ACTION).await;
            served.lock().expect("no panic").push((name, start.elapsed().as_secs()));
        });
    }
    soon(tasks.join_all()).await;
    Arc::into_inner(served).expect("all tasks are done").into_inner().expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn shares_take_turns_whoever_asks_for_more() {
    let budget = budget();
    drain(&budget).await;
    let order =
        order(&budget, &["greedy", "greedy", "greedy", "greedy", "modest", "late", "greedy", "modest"]).await;
    let names: Vec<_> = order.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["greedy", "modest", "late", "greedy", "modest", "greedy", "greedy", "greedy"]);
    let times: Vec<_> = order.iter().map(|(_, second)| *second).collect();
    assert_eq!(times, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn one_action_does_not_hold_up_another() {
    let budget = budget();
    drain(&budget).await;
    assert_eq!(budget.share("a").turn(Action::DescribeNetworkInterfaces).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_loses_no_turn_for_the_others() {
    let budget = budget();
    drain(&budget).await;
    let (first, second, third) = (budget.share("first"), budget.share("second"), budget.share("third"));
    let mut gives_up = Box::pin(first.turn(ACTION));
    let mut waits = Box::pin(second.turn(ACTION));
    let mut middle = Box::pin(third.turn(ACTION));
    let mut last = Box::pin(second.turn(ACTION));
    for place in [&mut gives_up, &mut waits, &mut middle, &mut last] {
        assert!(futures_poll(place).await.is_none());
    }
    assert_eq!(waiting(&budget), 4);
    // The first in line, which sleeps for all, and one in the middle.
    drop(gives_up);
    drop(middle);
    assert_eq!(waiting(&budget), 2);
    assert_eq!(soon(waits).await, Duration::from_secs(1));
    assert_eq!(soon(last).await, Duration::from_secs(2));
    assert_eq!(waiting(&budget), 0);
}

/// Polls once.
async fn futures_poll<F: std::future::Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

fn waiting(budget: &Budget) -> usize {
    gauge(budget).waiting
}

fn gauge(budget: &Budget) -> Gauge {
    budget.gauges().into_iter().find(|gauge| gauge.action == ACTION).expect("every action has one")
}

#[tokio::test(start_paused = true)]
async fn many_waiters_that_come_and_go_are_all_served_at_the_rate() {
    let budget = budget();
    drain(&budget).await;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for index in 0..200u64 {
        let share = budget.share(format!("share-{}", index % 7));
        tasks.spawn(async move {
            // Every third gives up, at a time of its own.
            let patience = if index % 3 == 0 { Duration::from_millis(97 * index) } else { Duration::MAX };
            tokio::time::timeout(patience, share.turn(ACTION)).await.is_ok()
        });
    }
    let served = soon(tasks.join_all()).await.into_iter().filter(|served| *served).count();
    assert!(served >= 133, "{served}");
    // Not one turn was lost, and none was given twice.
    assert_eq!(start.elapsed().as_secs_f64().round() as usize, served);
    assert_eq!(waiting(&budget), 0);
}

/// A cloud that answers deletes by a script and nothing else.
struct Scripted {
    throttle: std::sync::atomic::AtomicUsize,
}

fn error(action: Action, code: &str) -> CloudError {
    CloudError::from_code(action, code, "because", "r")
}

#[async_trait]
impl Cloud for Scripted {
    async fn delete_eni(&self, _: &EniId) -> Result<(), CloudError> {
        use std::sync::atomic::Ordering::Relaxed;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let left = self.throttle.load(Relaxed);
        if left == 0 {
            return Ok(());
        }
        self.throttle.store(left - 1, Relaxed);
        Err(error(ACTION, "Throttling.User"))
    }

    async fn create_eni(&self, _: &CreateEni) -> Result<Eni, CloudError> {
        Err(error(Action::CreateNetworkInterface, "Forbidden.RAM"))
    }
    async fn attach_eni(&self, _: &EniId, _: &InstanceId) -> Result<(), CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn detach_eni(&self, _: &EniId, _: &InstanceId) -> Result<(), CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn describe_enis(&self, _: &EniFilter, _: Option<String>) -> Result<Page<Eni>, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn assign_ipv4(&self, _: &Assign) -> Result<AddressSet, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn assign_ipv6(&self, _: &Assign) -> Result<AddressSet, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn unassign_ipv4(&self, _: &EniId, _: &AddressSet) -> Result<(), CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn unassign_ipv6(&self, _: &EniId, _: &AddressSet) -> Result<(), CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn describe_instance_type(&self, _: &InstanceType) -> Result<InstanceLimits, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn describe_vswitches(
        &self,
        _: &VSwitchFilter,
        _: Option<String>,
    ) -> Result<Page<VSwitch>, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn describe_security_groups(
        &self,
        _: &[SecurityGroupId],
    ) -> Result<Vec<SecurityGroup>, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn describe_route_tables(
        &self,
        _: &VpcId,
        _: Option<String>,
    ) -> Result<Page<RouteTable>, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn describe_route_entries(
        &self,
        _: &RouteTableId,
        _: Option<String>,
    ) -> Result<Page<RouteEntry>, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn create_route_entry(&self, _: &CreateRoute) -> Result<RouteEntryId, CloudError> {
        unreachable!("no test here makes this call")
    }
    async fn delete_route_entry(&self, _: &RouteEntry) -> Result<(), CloudError> {
        unreachable!("no test here makes this call")
    }
}

#[derive(Default)]
struct Kept(Mutex<Vec<CallReport>>);

impl Metrics for Kept {
    fn call(&self, report: &CallReport) {
        self.0.lock().expect("no panic").push(report.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_a_budgeted_cloud_down_and_peace_brings_it_back() {
    let budget = budget();
    let cloud = Arc::new(Scripted { throttle: 2.into() });
    let metrics = Arc::new(Kept::default());
    let budgeted = Budgeted::new(cloud, budget.share("node-1"), Some(metrics.clone()));
    let eni = EniId::from("eni-1");
    let refused = budgeted.delete_eni(&eni).await.expect_err("throttled");
    assert_eq!(refused.code, "Throttling.User");
    assert!((gauge(&budget).per_minute - 42.0).abs() < 0.01, "{:?}", gauge(&budget));
    budgeted.delete_eni(&eni).await.expect_err("throttled");
    // 42 · 0.7, and what comes back in the meantime.
    assert!((gauge(&budget).per_minute - 29.4).abs() < 0.2, "{:?}", gauge(&budget));
    budgeted.delete_eni(&eni).await.expect("peace");
    tokio::time::advance(Duration::from_secs(20 * 60)).await;
    assert!((gauge(&budget).per_minute - 60.0).abs() < 0.01, "{:?}", gauge(&budget));

    let reports = metrics.0.lock().expect("no panic").clone();
    let ms = |duration: Duration| duration.as_millis();
    let shown: Vec<_> =
        reports.iter().map(|call| (ms(call.waited), ms(call.latency), call.throttled)).collect();
    // A second is the least pause; at 42 a minute the next call takes 1.43 s, at 29.4 it takes 2.04 s.
    assert_eq!(shown[0], (0, 200, true));
    assert!((1_400..1_440).contains(&shown[1].0) && shown[1].2, "{shown:?}");
    assert!((2_000..2_050).contains(&shown[2].0) && !shown[2].2, "{shown:?}");
    assert_eq!(reports[2].code, None);
    assert_eq!((&*reports[0].share, reports[0].code.as_deref()), ("node-1", Some("Throttling.User")));
}

#[tokio::test(start_paused = true)]
async fn other_errors_do_not_slow_anything_down() {
    let budget = budget();
    let metrics = Arc::new(Kept::default());
    let cloud = Arc::new(Scripted { throttle: 0.into() });
    let budgeted = Budgeted::new(cloud, budget.share("node-1"), Some(metrics.clone()));
    let request = CreateEni {
        token: "t".into(),
        vswitch: "v".into(),
        security_groups: Vec::new(),
        count: terway_core::address::AddressCount::default(),
        tags: Vec::new(),
    };
    budgeted.create_eni(&request).await.expect_err("forbidden");
    let reports = metrics.0.lock().expect("no panic").clone();
    assert_eq!((reports[0].code.as_deref(), reports[0].throttled), (Some("Forbidden.RAM"), false));
    let action = Action::CreateNetworkInterface;
    let rate = budget.gauges().into_iter().find(|gauge| gauge.action == action).expect("there").per_minute;
    assert!((rate - f64::from(action.per_minute())).abs() < 1e-9, "{rate}");
}

#[test]
fn limits_of_actions_that_are_none_are_refused_by_name() {
    let new = |name: &str, limit| {
        Budget::new(&BTreeMap::from([(name.to_owned(), limit)])).expect_err(name).to_string()
    };
    let error = new("AttachNetworkInterfaces", 5);
    assert!(
        error.contains("`AttachNetworkInterfaces`") && error.contains("`AttachNetworkInterface`"),
        "{error}"
    );
    assert!(new("CreateNetworkInterface", 0).contains("allowed is 1 and more"));
}
