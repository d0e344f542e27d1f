//! From what was given, the environment and metadata to a client: region, endpoints, credentials.
//!
//! For who composes a program. What was given wins over the environment, and that over the rule.

use std::{path::PathBuf, sync::Arc, time::Duration};

use terway_core::{cloud::Product, spawn::Spawner};
use tokio::time::timeout;

use crate::{
    client::{Client, Settings},
    credentials::{CredentialsProvider, KeyTexts, Sources, chain},
    endpoints::{Endpoint, Endpoints, Network},
    http::{self, chain as causes},
    metadata::MetadataClient,
    role::RoleCredentials,
    system::{SystemClock, SystemEntropy},
};

/// Names the region.
pub const REGION: &str = "ALIBABA_CLOUD_REGION_ID";
/// Overrides the endpoint of ECS.
pub const ECS: &str = "ECS_ENDPOINT";
/// Overrides the endpoint of VPC.
pub const VPC: &str = "VPC_ENDPOINT";

/// What the user of a program gave.
#[derive(Clone, Debug)]
pub struct Given {
    /// Region.
    pub region: Option<String>,
    /// Host or URL of ECS, and what the user calls the place where it was given.
    pub ecs_endpoint: (Option<String>, &'static str),
    /// Host or URL of VPC, likewise.
    pub vpc_endpoint: (Option<String>, &'static str),
    /// From where the rule's endpoints are to be reached.
    pub network: Network,
    /// URL of the instance metadata service.
    pub metadata_endpoint: String,
    /// A key.
    pub key: KeyTexts,
    /// Folder with a mounted key.
    pub secret_dir: Option<PathBuf>,
    /// How long metadata may take to tell the region.
    pub patience: Duration,
}

/// What was made of it.
pub struct Connection {
    /// The client.
    pub client: Client,
    /// Who it is.
    pub credentials: Arc<dyn CredentialsProvider>,
    /// Instance metadata.
    pub metadata: Arc<MetadataClient>,
    /// Region, endpoints and deadlines of the client.
    pub settings: Settings,
}

/// What was given does not lead to a cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// TLS cannot be had.
    #[error("{0}")]
    Tls(String),
    /// A value is not what it must be.
    #[error("{place}: {reason}")]
    Invalid {
        /// Where it was given.
        place: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Nobody names the region.
    #[error("no region: give --region or set {REGION}; instance metadata says: {reason}")]
    NoRegion {
        /// What metadata said.
        reason: String,
    },
}

/// Connects: nothing is sent yet but, where nobody names the region, a question to metadata. `var` reads the
/// environment.
pub async fn connect(
    given: Given,
    spawner: Arc<dyn Spawner>,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Connection, ConnectError> {
    let var = |name: &str| var(name).filter(|value| !value.is_empty());
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    let http = http::system(spawner).map_err(|error| ConnectError::Tls(causes(&error)))?;
    let metadata = Arc::new(MetadataClient::new(http.clone(), &given.metadata_endpoint));
    let region = match given.region.clone().or_else(|| var(REGION)) {
        Some(region) => region,
        None => region_of(&metadata, given.patience).await?,
    };
    let settings = Settings::new(region.as_str(), endpoints(&given, &region, var)?);
    let credentials = chain(Sources {
        explicit: given.key,
        secret_dir: given.secret_dir,
        environment: KeyTexts::from_environment(var),
        role: Some(Arc::new(RoleCredentials::new(metadata.clone(), clock.clone()))),
    });
    let client = Client::new(http, credentials.clone(), clock, entropy, settings.clone());
    Ok(Connection { client, credentials, metadata, settings })
}

fn endpoints(
    given: &Given,
    region: &str,
    var: impl Fn(&str) -> Option<String>,
) -> Result<Endpoints, ConnectError> {
    let invalid = |place, reason: String| ConnectError::Invalid { place, reason };
    let mut endpoints =
        Endpoints::of_region(region, given.network).map_err(|error| invalid("region", error.to_string()))?;
    for (product, (given, option), name) in
        [(Product::Ecs, &given.ecs_endpoint, ECS), (Product::Vpc, &given.vpc_endpoint, VPC)]
    {
        let (place, text) = match given {
            Some(text) => (*option, Some(text.clone())),
            None => (name, var(name)),
        };
        if let Some(text) = text {
            let endpoint: Endpoint = text.parse().map_err(|error| invalid(place, format!("{error}")))?;
            endpoints = endpoints.with(product, endpoint);
        }
    }
    Ok(endpoints)
}

async fn region_of(metadata: &MetadataClient, patience: Duration) -> Result<String, ConnectError> {
    let reason = match timeout(patience, metadata.read("region-id")).await {
        Ok(Ok(region)) => return Ok(region),
        Ok(Err(error)) => causes(&error),
        Err(_) => "no answer".to_owned(),
    };
    Err(ConnectError::NoRegion { reason })
}
