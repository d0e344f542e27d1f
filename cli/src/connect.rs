//! From options, environment and metadata to a client: region, endpoints, credentials.

use std::{path::PathBuf, time::Duration};

use terway_cloud::{
    connect::{Connection, Given, connect},
    credentials::{KeyTexts, SECRET_DIR},
    endpoints::Network,
    metadata::DEFAULT_BASE,
    secret::Secret,
    system::ProcessSpawner,
};

use crate::failure::Failure;

/// How long metadata may take to tell the region: on an instance it takes milliseconds, and elsewhere
/// nobody wants to wait for what is not there.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the cloud is, and who asks.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Options {
    /// Region, such as cn-hangzhou [env: ALIBABA_CLOUD_REGION_ID; on an instance, its own]
    #[arg(long, global = true)]
    pub(crate) region: Option<String>,
    /// Host or URL of ECS, such as http://127.0.0.1:8080 [env: ECS_ENDPOINT; else by region]
    #[arg(long, global = true, value_name = "ENDPOINT")]
    pub(crate) ecs_endpoint: Option<String>,
    /// Host or URL of VPC [env: VPC_ENDPOINT; else by region]
    #[arg(long, global = true, value_name = "ENDPOINT")]
    pub(crate) vpc_endpoint: Option<String>,
    /// Use the endpoints that are reached from within a VPC without a way to the internet
    #[arg(long, global = true)]
    pub(crate) internal: bool,
    /// URL of the instance metadata service
    #[arg(long, global = true, value_name = "URL", default_value = DEFAULT_BASE)]
    pub(crate) metadata_endpoint: String,
    /// Id of the access key [env: ALIBABA_CLOUD_ACCESS_KEY_ID, with ALIBABA_CLOUD_ACCESS_KEY_SECRET
    /// and, for temporary keys, ALIBABA_CLOUD_SECURITY_TOKEN]
    #[arg(long, global = true, value_name = "ID", requires = "access_key_secret_file")]
    pub(crate) access_key_id: Option<String>,
    /// File with the secret of the access key
    #[arg(long, global = true, value_name = "FILE", requires = "access_key_id")]
    pub(crate) access_key_secret_file: Option<PathBuf>,
}

impl Options {
    /// Connects: nothing is sent yet but, where nobody names the region, a question to metadata. `var`
    /// reads the environment.
    pub(crate) async fn connect(&self, var: impl Fn(&str) -> Option<String>) -> Result<Connection, Failure> {
        let given = Given {
            region: self.region.clone(),
            ecs_endpoint: (self.ecs_endpoint.clone(), "--ecs-endpoint"),
            vpc_endpoint: (self.vpc_endpoint.clone(), "--vpc-endpoint"),
            network: if self.internal { Network::Vpc } else { Network::Public },
            metadata_endpoint: self.metadata_endpoint.clone(),
            key: self.explicit()?,
            secret_dir: Some(SECRET_DIR.into()),
            patience: PATIENCE,
        };
        let connected = connect(given, ProcessSpawner::shared(), var).await;
        connected.map_err(|error| Failure::input(error.to_string()))
    }

    fn explicit(&self) -> Result<KeyTexts, Failure> {
        let secret = match &self.access_key_secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let path = path.display();
                    Failure::input(format!("--access-key-secret-file: `{path}` can not be read: {error}"))
                })?;
                Some(Secret::new(text.trim()))
            }
        };
        Ok(KeyTexts { key_id: self.access_key_id.clone(), secret, token: None })
    }
}

#[cfg(test)]
mod tests {
    use terway_core::cloud::Product;

    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[tokio::test]
    async fn options_win_over_the_environment_and_that_over_the_rule() {
        let options = Options {
            region: Some("cn-hangzhou".to_owned()),
            ecs_endpoint: Some("http://127.0.0.1:1".to_owned()),
            metadata_endpoint: DEFAULT_BASE.to_owned(),
            ..Options::default()
        };
        let environment = |name: &str| match name {
            "ECS_ENDPOINT" => Some("ecs.example.com".to_owned()),
            "VPC_ENDPOINT" => Some("vpc.example.com".to_owned()),
            "ALIBABA_CLOUD_REGION_ID" => Some("cn-beijing".to_owned()),
            _ => None,
        };
        let settings = options.connect(environment).await.expect("fine").settings;
        assert_eq!(&*settings.region, "cn-hangzhou");
        assert_eq!(settings.endpoints.of(Product::Ecs).to_string(), "http://127.0.0.1:1");
        assert_eq!(settings.endpoints.of(Product::Vpc).to_string(), "https://vpc.example.com");
        let options = Options { ecs_endpoint: None, internal: true, ..options };
        let settings = options.connect(none).await.expect("fine").settings;
        assert_eq!(
            settings.endpoints.of(Product::Ecs).to_string(),
            "https://ecs-vpc.cn-hangzhou.aliyuncs.com"
        );
    }

    #[tokio::test]
    async fn bad_input_is_told_with_the_place_it_came_from() {
        let region = Some("cn-hangzhou".to_owned());
        let says = async |options: Options, var: fn(&str) -> Option<String>| {
            let failure = options.connect(var).await.err().expect("bad input");
            assert_eq!(failure.code(), 2);
            failure.to_string()
        };
        let options = Options {
            vpc_endpoint: Some("ftp://x".to_owned()),
            region: region.clone(),
            ..Options::default()
        };
        assert!(says(options, none).await.starts_with("--vpc-endpoint: `ftp://x` is not an endpoint"));
        let options = Options { region: region.clone(), ..Options::default() };
        let bad = |name: &str| (name == "ECS_ENDPOINT").then(|| "http://x/path".to_owned());
        assert!(says(options, bad).await.starts_with("ECS_ENDPOINT: `http://x/path`"));
        let options = Options { region: Some("../x".to_owned()), ..Options::default() };
        assert!(says(options, none).await.starts_with("region: `../x`"));
        let (id, file) = (Some("k".to_owned()), Some("/does/not/exist".into()));
        let options =
            Options { region, access_key_id: id, access_key_secret_file: file, ..Options::default() };
        assert!(says(options, none).await.contains("`/does/not/exist` can not be read"));
    }
}
