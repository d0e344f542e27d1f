//! `terway-sim cloud sign`: what our signer makes of a request, so that other signers can be held against it.

use std::{collections::BTreeMap, io::Read as _};

use serde::Deserialize;
use serde_json::json;
use terway_cloud::sign::{Signable, canonical_query, payload_hash};

use crate::command::{Verdict, bad::Bad, print};

/// A request and the key to sign it with; headers are those that are signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: String,
    access_key_id: String,
    access_key_secret: String,
}

/// Reads a request as JSON from standard input; prints the canonical request and the `Authorization`.
pub(super) fn sign() -> Result<Verdict, Bad> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| Bad::new(format!("cannot read standard input: {error}")))?;
    let asked: Asked = serde_json::from_str(&text)
        .map_err(|error| Bad::new(format!("standard input is no request: {error}")))?;
    let query = canonical_query(asked.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let headers: Vec<(&str, &str)> =
        asked.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let signable = Signable {
        method: &asked.method,
        path: &asked.path,
        query: &query,
        headers: &headers,
        payload_hash: &payload_hash(asked.body.as_bytes()),
    };
    let told = json!({
        "canonical_request": signable.canonical(),
        "authorization": signable.authorization(&asked.access_key_id, &asked.access_key_secret),
    });
    print::out(&format!("{told}\n"));
    Ok(Verdict::Held)
}
