//! `whoami`: which key, from where, and against which endpoints. Nothing is called with it.

use serde::Serialize;
use terway_cloud::connect::Connection;
use terway_core::{cloud::Product, metadata::Metadata as _};

use crate::{failure::Failure, print};

#[derive(Debug, Serialize)]
struct Identity {
    access_key_id: String,
    source: String,
    temporary: bool,
    expires: Option<String>,
    region: String,
    ecs_endpoint: String,
    vpc_endpoint: String,
    /// Only where the key is the instance's: elsewhere there is nobody to ask.
    instance: Option<Instance>,
}

#[derive(Debug, Serialize)]
struct Instance {
    id: String,
    #[serde(rename = "instance_type")]
    kind: String,
    zone: String,
    vpc: String,
}

pub(super) async fn whoami(connection: &Connection, json: bool) -> Result<String, Failure> {
    let credentials = connection.credentials.credentials().await;
    let credentials = credentials.map_err(|error| Failure::input(error.to_string()))?;
    let expires = credentials.expires.and_then(|time| jiff::Timestamp::try_from(time).ok());
    let instance = match expires {
        Some(_) => connection.metadata.identity().await.ok().map(|identity| Instance {
            id: identity.instance.to_string(),
            kind: identity.instance_type.to_string(),
            zone: identity.zone.to_string(),
            vpc: identity.vpc.to_string(),
        }),
        None => None,
    };
    let settings = &connection.settings;
    let identity = Identity {
        access_key_id: credentials.key_id.clone(),
        source: connection.credentials.origin(),
        temporary: credentials.token.is_some(),
        expires: expires.map(|time| time.to_string()),
        region: settings.region.to_string(),
        ecs_endpoint: settings.endpoints.of(Product::Ecs).to_string(),
        vpc_endpoint: settings.endpoints.of(Product::Vpc).to_string(),
        instance,
    };
    Ok(if json { print::json(&identity) } else { identity.text() })
}

impl Identity {
    fn text(&self) -> String {
        let lasts = match (&self.expires, self.temporary) {
            (Some(time), _) => format!("temporary, until {time}"),
            (None, true) => "temporary".to_owned(),
            (None, false) => "permanent".to_owned(),
        };
        let mut rows = vec![
            ("access key", self.access_key_id.clone()),
            ("from", self.source.clone()),
            ("lasts", lasts),
            ("region", self.region.clone()),
            ("ECS", self.ecs_endpoint.clone()),
            ("VPC", self.vpc_endpoint.clone()),
        ];
        if let Some(instance) = &self.instance {
            let Instance { id, kind, zone, vpc } = instance;
            rows.push(("instance", format!("{id} ({kind}) in {zone}, {vpc}")));
        }
        print::facts(&rows)
    }
}
