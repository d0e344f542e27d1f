//! What `docs/credentials.md` promises about permissions is what the code calls.

use std::collections::BTreeSet;

use terway_core::cloud::Action;

const PAGE: &str = include_str!("../../docs/credentials.md");

/// The actions that a fenced policy of the page allows.
fn allowed(policy: &str) -> Vec<String> {
    let fence = format!("```json policy={policy}\n");
    let start = PAGE.find(&fence).unwrap_or_else(|| panic!("no policy {policy}")) + fence.len();
    let length = PAGE[start..].find("```").expect("the fence ends");
    let policy: serde_json::Value = serde_json::from_str(&PAGE[start..start + length]).expect("JSON");
    assert_eq!(policy["Version"], "1");
    let statements = policy["Statement"].as_array().expect("statements");
    assert!(statements.iter().all(|statement| statement["Effect"] == "Allow"));
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().expect("actions"));
    actions.map(|action| action.as_str().expect("a name").to_owned()).collect()
}

fn name(action: Action) -> String {
    format!("{}:{action}", action.product().code())
}

#[test]
fn the_policies_allow_what_is_called_and_nothing_more() {
    let routes: BTreeSet<String> = Action::ALL
        .iter()
        .filter(|action| action.name().contains("Route"))
        .map(|action| name(*action))
        .collect();
    let all: BTreeSet<String> = Action::ALL.iter().map(|action| name(*action)).collect();
    let shared: BTreeSet<String> = all.difference(&routes).cloned().collect();
    for (policy, expected) in [("eni-multi-ip", shared), ("routes", routes)] {
        let allowed = allowed(policy);
        let unique: BTreeSet<String> = allowed.iter().cloned().collect();
        assert_eq!(unique.len(), allowed.len(), "{policy} names an action twice");
        assert_eq!(unique, expected, "{policy}");
    }
}

#[test]
fn the_page_names_the_variables_and_files_that_are_read() {
    use terway_cloud::credentials::{ENV_KEY_ID, ENV_SECRET, ENV_TOKEN, SECRET_DIR};
    for name in [ENV_KEY_ID, ENV_SECRET, ENV_TOKEN, SECRET_DIR, terway_cloud::metadata::DEFAULT_BASE] {
        assert!(PAGE.contains(name), "{name}");
    }
}
