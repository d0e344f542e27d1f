//! Entries read back as written.

use super::*;
use crate::{Fault, FaultKind, Target};

fn entry() -> Reproducer {
    Reproducer {
        story: "a \"late\" DEL freed the new owner's address".to_owned(),
        scenario: "crash-loop".to_owned(),
        overrides: vec![("pods_per_node".to_owned(), "8".to_owned())],
        seed: u64::MAX,
        nodes: 3,
        duration: Duration::from_mins(10),
        commit: "1ff6e17".to_owned(),
        config_hash: "00ff".to_owned(),
        expect: Expect::Violation(InvariantId::I5),
        schedule: Schedule::new(vec![Fault::new(
            Duration::from_secs(5),
            Target::Node("node-0001".to_owned()),
            FaultKind::DelLate,
        )]),
    }
}

#[test]
fn an_entry_reads_back_as_written() {
    let repaired = Reproducer { expect: Expect::Reaches("stale-del-ignored".to_owned()), ..entry() };
    for entry in [entry(), repaired] {
        assert_eq!(Reproducer::from_toml(&entry.to_toml()), Ok(entry));
    }
}

#[test]
fn an_entry_is_pleasant_to_read() {
    let text = entry().to_toml();
    assert!(text.starts_with("story = "));
    assert!(text.contains("duration = \"10m\"\n"));
    assert!(text.contains("expect = { violation = \"I5\" }\n\n[[fault]]\nat = \"5s\"\n"), "{text}");
}

#[test]
fn complaints_are_exact() {
    let text = entry().to_toml();
    let complaint =
        |from: &str, to: &str| Reproducer::from_toml(&text.replace(from, to)).unwrap_err().to_string();
    assert_eq!(complaint("nodes = 3", "nodes = 0"), "`nodes` is 0; allowed: a whole number from 1");
    assert_eq!(
        complaint("\"I5\"", "\"I55\""),
        "`expect.violation` is \"I55\", did you mean `I5`?; allowed: I1 to I22"
    );
    assert!(
        complaint("scenario", "scenaro").starts_with("`scenaro` is not a key here, did you mean `scenario`?")
    );
}

#[test]
fn files_are_written_and_read() {
    let path = std::env::temp_dir().join(format!("terway-chaos-{}.toml", std::process::id()));
    entry().save(&path).unwrap();
    assert_eq!(Reproducer::load(&path).unwrap(), entry());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Reproducer::load(&path), Err(ReproducerError::Read { .. })));
}
