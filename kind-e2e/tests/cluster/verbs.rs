//! STATUS and GC of CNI 1.1, by the plugin that ships to the agent that ships.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use terway_core::id::{PodKey, VSwitchId};
use terway_e2e::{cluster::Cluster, node::Node, pod::PodSpec, programs::Programs, task};
use tokio::time::{Instant, sleep};

use crate::common::{PATIENCE, cluster, pod, root, until};

const NODE: usize = 1;

/// What the plugin answers to a verb that is about no pod: nothing, or its error.
async fn ask(cluster: &Cluster, verb: &'static str, more: Value) -> Result<(), Value> {
    let node: Arc<Node> = Arc::clone(cluster.node(NODE).expect("there"));
    task::blocking(move || {
        let own = std::env::current_exe().expect("we are a program");
        let programs = Programs::find(&own, |name| std::env::var_os(name).map(Into::into)).expect("built");
        let text = fs::read_to_string(node.served_conflist()).expect("it was served once");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let mut conf = list["plugins"][0].clone();
        conf["cniVersion"] = "1.1.0".into();
        conf["name"] = list["name"].clone();
        for (key, value) in more.as_object().expect("an object") {
            conf[key] = value.clone();
        }
        let mut command = Command::new(&programs.plugin);
        command
            .env_clear()
            .envs([("CNI_COMMAND", verb), ("CNI_PATH", "/opt/cni/bin")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = node.netns.run(|| command.spawn()).expect("started");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(conf.to_string().as_bytes()).expect("read");
        drop(stdin);
        let output = child.wait_with_output().expect("ended");
        if output.status.success() {
            assert!(output.stdout.is_empty(), "{output:?}");
            return Ok(());
        }
        Err(serde_json::from_slice(&output.stdout).expect("an error is a document"))
    })
    .await
}

async fn status(cluster: &Cluster) -> Result<(), Value> {
    let begun = Instant::now();
    let answer = ask(cluster, "STATUS", json!({})).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "a runtime waits for it: {:?}", begun.elapsed());
    answer
}

#[tokio::test]
async fn status_says_when_no_pod_can_be_served_and_when_running_ones_suffer() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| {
        spec.nodes = 1;
        spec.eni_conf.insert("max_pool_size".to_owned(), 0.into());
        spec.eni_conf.insert("min_pool_size".to_owned(), 0.into());
        spec.eni_conf.insert("ip_reuse_cooldown".to_owned(), "1s".into());
    })
    .await;
    assert_eq!(status(&cluster).await, Ok(()), "a cold pool that can grow is ready");
    pod(&cluster, "a", NODE).await;
    let vswitch = cluster.vpc.cloud.primary_nic(&"i-n1".into()).and_then(|id| cluster.vpc.cloud.eni(&id));
    let vswitch: VSwitchId = vswitch.expect("a primary ENI").vswitch.clone();
    assert!(cluster.vpc.cloud.exhaust_vswitch(&vswitch, 0));
    let waits = PodSpec::new("default", "b", NODE);
    let refused = cluster.run_pod(&waits).await.expect_err("no address is left").to_string();
    assert!(refused.contains("no address left in vSwitch"), "{refused}");
    let begun = Instant::now();
    let error = loop {
        match status(&cluster).await {
            Err(error) => break error,
            Ok(()) => assert!(begun.elapsed() < PATIENCE, "still ready"),
        }
        sleep(Duration::from_millis(500)).await;
    };
    assert_eq!(error["code"], 50, "{error}");
    assert!(error["msg"].as_str().is_some_and(|msg| msg.contains("no address left in vSwitch")), "{error}");
    assert!(begun.elapsed() > Duration::from_secs(5), "it must have lasted: {:?}", begun.elapsed());
    cluster.vpc.cloud.relieve_vswitch(&vswitch);
    cluster.delete_pod(&PodKey::new("default", "a")).await.expect("freed");
    until("it recovers", async || status(&cluster).await.is_ok()).await;

    // An ENI that somebody detaches takes its pods' network along.
    let made = pod(&cluster, "c", NODE).await;
    let (eni, ..) = cluster.vpc.cloud.owner_of(made.ips[0]).expect("owned");
    assert!(cluster.vpc.cloud.out_of_band_detach(&eni));
    until("running pods suffer", async || status(&cluster).await.is_err_and(|error| error["code"] == 51))
        .await;
    until("the agent attaches it again", async || status(&cluster).await.is_ok()).await;

    cluster.kill_daemon(NODE).await.expect("killed");
    let error = status(&cluster).await.expect_err("nobody answers");
    assert_eq!(error["code"], 50, "{error}");
    cluster.down().await.expect("down");
}

#[tokio::test]
async fn gc_frees_what_is_not_listed_and_nothing_of_another_network() {
    if !root() {
        return;
    }
    let cluster = cluster(|spec| spec.nodes = 1).await;
    let (kept, gone) = (pod(&cluster, "kept", NODE).await, pod(&cluster, "gone", NODE).await);
    let in_use = async || {
        let page = cluster.node(NODE).expect("there").metrics().await.expect("served");
        page.lines().find_map(|line| line.strip_prefix("terway_ip_allocated_total ")).map(str::to_owned)
    };
    let valid = |pods: &[&str]| {
        let each: Vec<Value> =
            pods.iter().map(|container| json!({"containerID": container, "ifname": "eth0"})).collect();
        Value::from(each)
    };
    let other = json!({"name": "another", "cni.dev/valid-attachments": []});
    assert_eq!(ask(&cluster, "GC", other).await, Ok(()));
    assert_eq!(in_use().await.as_deref(), Some("2"), "nothing of another network");
    let error = ask(&cluster, "GC", json!({"cni.dev/valid-attachments": null})).await.expect_err("null");
    assert_eq!(error["code"], 7, "{error}");
    let listed = json!({"cni.dev/valid-attachments": valid(&[&kept.container])});
    assert_eq!(ask(&cluster, "GC", listed.clone()).await, Ok(()));
    assert_eq!(in_use().await.as_deref(), Some("1"));
    assert_eq!(ask(&cluster, "GC", listed).await, Ok(()), "a second time");
    assert_eq!(in_use().await.as_deref(), Some("1"));
    // Its record is gone, and what it had in the kernel with it.
    let ips = gone.ips.clone();
    until("what belonged to it is removed", async || {
        let kernel = cluster.kernel(NODE).await.expect("seen");
        !kernel.rules.iter().any(|rule| ips.contains(&rule.select.net().addr()))
    })
    .await;
    cluster.call(&PodKey::new("default", "kept"), "CHECK").await.expect("the other one is whole");
    cluster.down().await.expect("down");
}
