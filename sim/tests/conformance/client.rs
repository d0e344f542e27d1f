//! The real client, with the key of the site's node, for whatever network there is.

use std::{sync::Arc, time::Duration};

use terway_cloud::{
    client::{Client, Settings},
    credentials::{self, Credentials},
    endpoints::Endpoints,
    http::Http,
    secret::Secret,
};
use terway_conformance::site;
use terway_core::{cloud::Cloud, entropy::Entropy, time::Clock};
use terway_sim::endpoint::Keys;

/// A client of the endpoint at `base`.
pub(crate) fn client(
    http: Arc<dyn Http>,
    base: &str,
    keys: &Keys,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    patience: Duration,
) -> Arc<dyn Cloud> {
    let key = keys.of_instance(&site::NODE.into(), clock.now());
    let credentials = credentials::fixed(Credentials {
        key_id: key.id,
        secret: Secret::new(key.secret),
        token: key.token.map(Secret::new),
        expires: key.expires,
    });
    let endpoints = Endpoints::all_at(base.parse().expect("an endpoint"));
    let settings = Settings {
        try_deadline: patience,
        total_deadline: patience * 5 / 2,
        ..Settings::new(site::REGION, endpoints)
    };
    Arc::new(Client::new(http, credentials, clock, entropy, settings))
}
