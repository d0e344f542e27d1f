use super::*;

fn pending(container: &str) -> Pending {
    Pending {
        network: "terway".into(),
        container: container.into(),
        ifname: "eth0".into(),
        pod_namespace: "default".into(),
        pod_name: "a".into(),
        pod_uid: "u-1".into(),
        reason: "normal release".into(),
    }
}

fn held(folder: &Path) -> Vec<Pending> {
    list(folder).expect("listed").into_iter().filter_map(|held| held.release.ok()).collect()
}

#[test]
fn a_release_is_found_again_and_is_gone_when_done() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = folder(&dir.path().join("eni.socket"));
    assert!(list(&folder).expect("absent is empty").is_empty());
    let path = put(&folder, &pending("c1")).expect("written");
    assert_eq!(held(&folder), [pending("c1")]);
    done(&path).expect("removed");
    done(&path).expect("twice is well");
    assert!(held(&folder).is_empty());
}

#[test]
fn a_repeated_release_does_not_add_up_and_another_sandbox_does() {
    let dir = tempfile::tempdir().expect("a folder");
    put(dir.path(), &pending("c1")).expect("written");
    put(dir.path(), &Pending { reason: "again".into(), ..pending("c1") }).expect("written");
    put(dir.path(), &pending("c2")).expect("written");
    // Ids that differ only in what a file name leaves out.
    put(dir.path(), &pending("c.2")).expect("written");
    let reasons: Vec<_> =
        held(dir.path()).into_iter().map(|release| (release.container, release.reason)).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons.contains(&("c1".into(), "again".into())));
}

#[test]
fn a_file_torn_at_any_byte_is_told_and_hides_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = put(dir.path(), &pending("c1")).expect("written");
    put(dir.path(), &pending("c2")).expect("written");
    let whole = fs::read(&path).expect("read");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).expect("torn");
        let found = list(dir.path()).expect("listed");
        let torn = found.iter().filter(|held| matches!(held.release, Err(SpoolError::Torn { .. }))).count();
        assert_eq!((found.len(), torn), (2, 1), "cut at {length}");
        assert_eq!(held(dir.path()), [pending("c2")]);
    }
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x10;
        fs::write(&path, bytes).expect("spoilt");
        assert!(held(dir.path()).iter().all(|release| *release == pending("c2")), "spoilt at {index}");
    }
}

#[test]
fn what_a_killed_plugin_left_aside_is_not_a_release() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join(".c1-0.release.77"), "terway-rel").expect("half");
    fs::write(dir.path().join("README"), "by hand").expect("foreign");
    assert!(list(dir.path()).expect("listed").is_empty());
}
