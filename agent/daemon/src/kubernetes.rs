//! The API server: from where the pod runs, or as flags say.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use crate::options::Options;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubernetesError {
    /// Neither in a pod nor a file.
    #[error("no way to the API server: give --kubeconfig or --kube-url, or run with a service account")]
    NoConfig(#[source] kube::config::InferConfigError),
    /// The file.
    #[error("kubeconfig cannot be used")]
    File(#[source] kube::config::KubeconfigError),
    /// The client.
    #[error("a client for the API server cannot be made")]
    Client(#[source] kube::Error),
}

/// A client. Nothing is sent yet.
pub(crate) async fn client(options: &Options) -> Result<Client, KubernetesError> {
    let config = if let Some(url) = &options.kube_url {
        Config::new(url.clone())
    } else if let Some(path) = &options.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(KubernetesError::File)?;
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(KubernetesError::File)?
    } else {
        Config::infer().await.map_err(KubernetesError::NoConfig)?
    };
    Client::try_from(config).map_err(KubernetesError::Client)
}
