//! The plugin killed at each message that it sends, in turn: to the kernel and to the agent.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use terway_core::address::Stack;
use terway_e2e::{cluster::Cluster, pod::PodSpec, programs::Programs, spec::ClusterSpec};

use crate::{
    churn::nothing_is_left_but,
    common::{name, pod, root},
};

/// More messages than any call of the plugin sends.
const MOST: usize = 60;

/// Whether programs can be traced here; says so aloud where they cannot.
fn strace() -> bool {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let works = works.is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED: needs `strace` and the right to trace; ci/setup installs it");
    }
    works
}

/// The plugin behind a tracer that kills it as it enters a system call that sends: of the verb that `verb` names, the
/// one that `when` counts to in each thread.
fn traced(dir: &Path, programs: Programs) -> Programs {
    let script = dir.join("terway");
    let (here, plugin) = (dir.display(), programs.plugin.display());
    let text = format!(
        "#!/bin/sh\nread VERB < {here}/verb\nread WHEN < {here}/when\n\
         [ \"$CNI_COMMAND\" = \"$VERB\" ] || exec {plugin}\n\
         exec /usr/bin/strace -f -qq -o {here}/trace -e trace=sendto,sendmsg,write,writev \
         -e inject=sendto,sendmsg:signal=KILL:when=$WHEN {plugin}\n"
    );
    fs::write(&script, text).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a program");
    Programs { plugin: script, ..programs }
}

fn arm(dir: &Path, verb: &str, when: usize) {
    fs::write(dir.join("verb"), format!("{verb}\n")).expect("written");
    fs::write(dir.join("when"), format!("{when}\n")).expect("written");
}

#[tokio::test]
async fn a_plugin_that_is_killed_at_each_message_leaves_nothing_when_the_pod_is_deleted() {
    if !root() || !strace() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let own = std::env::current_exe().expect("we are a program");
    let programs =
        Programs::find(&own, |name| std::env::var_os(name).map(Into::into)).expect("they are built");
    let mut spec = ClusterSpec { nodes: 1, stack: Stack::Dual, ..ClusterSpec::new(&name()) };
    spec.eni_conf.insert("ip_reuse_cooldown".to_owned(), "1s".into());
    arm(dir.path(), "none", 1);
    let cluster = Cluster::start(spec, Some(traced(dir.path(), programs))).await.expect("a cluster");
    pod(&cluster, "keeps", 1).await;
    let mut killed = [0, 0];
    for when in 1..=MOST {
        let spec = PodSpec::new("default", &format!("add-{when}"), 1);
        arm(dir.path(), "ADD", when);
        // After the refusal DEL is called, which is not traced.
        if cluster.run_pod(&spec).await.is_ok() {
            cluster.delete_pod(&spec.pod).await.expect("deleted");
            break;
        }
        killed[0] += 1;
    }
    for when in 1..=MOST {
        let spec = PodSpec::new("default", &format!("del-{when}"), 1);
        arm(dir.path(), "none", 1);
        cluster.run_pod(&spec).await.expect("a pod");
        arm(dir.path(), "DEL", when);
        let deleted = cluster.delete_pod(&spec.pod).await;
        arm(dir.path(), "none", 1);
        if deleted.is_ok() {
            break;
        }
        killed[1] += 1;
        cluster.delete_pod(&spec.pod).await.expect("it is made up for");
    }
    let trace = fs::read_to_string(dir.path().join("trace")).unwrap_or_default();
    assert!(
        killed.iter().all(|count| (2..MOST).contains(count)),
        "killed ADDs and DELs: {killed:?}\n{trace}"
    );
    nothing_is_left_but(&cluster, 1).await;
    cluster.down().await.expect("down");
}
