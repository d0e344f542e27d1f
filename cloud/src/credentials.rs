//! Access keys, and where they come from: the first of these that applies.
//!
//! 1. what the configuration says,
//! 2. the secret that the cluster mounts,
//! 3. the environment,
//! 4. the RAM role of the instance.
//!
//! A source that is configured and broken is an error and not passed over: whoever mounted half a secret
//! does not want the agent to go on with the rights of somebody else.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{role::RoleCredentials, secret::Secret};

/// Where the cluster's add-on manager mounts the key.
pub const SECRET_DIR: &str = "/var/alibaba-addon-secret";
/// The files in there.
const KEY_ID_FILE: &str = "access-key-id";
const SECRET_FILE: &str = "access-key-secret";
/// Environment variables, as the vendor's own tools read them.
pub const ENV_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
/// The key's secret.
pub const ENV_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
/// The security token of a temporary key; optional.
pub const ENV_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
/// How long the mounted files are believed. The kubelet takes about a minute to put a new secret there,
/// and the old key is expected to work at least as long.
const FILES_LIVE: Duration = Duration::from_secs(60);

/// An access key. Its secrets do not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Id; told in logs.
    pub key_id: String,
    /// What requests are signed with.
    pub secret: Secret,
    /// Goes with temporary keys.
    pub token: Option<Secret>,
    /// When a temporary key ends.
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let temporary = self.token.is_some();
        f.debug_struct("Credentials")
            .field("key_id", &self.key_id)
            .field("temporary", &temporary)
            .finish_non_exhaustive()
    }
}

/// Why there are no credentials. Names the source; never a value but that of an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// One of a pair.
    #[error("{source_name}: {missing} is not set although {given} is; set both or neither")]
    Half {
        /// The source.
        source_name: &'static str,
        /// What is there.
        given: String,
        /// What is not.
        missing: String,
    },
    /// A file that is there and can not be read.
    #[error("{source_name}: `{}` can not be read: {reason}", path.display())]
    Unreadable {
        /// The source.
        source_name: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A text that can not be a credential.
    #[error("{source_name}: {what} is {reason}; allowed are visible ASCII characters")]
    Malformed {
        /// The source.
        source_name: &'static str,
        /// Variable, field or file.
        what: String,
        /// `empty` or what it has that it must not have.
        reason: &'static str,
    },
    /// The role's credentials can not be had.
    #[error("RAM role of the instance: {reason}")]
    Role {
        /// Which URL said what.
        reason: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// No source applies.
    #[error("no credentials: {}", list(.tried))]
    None {
        /// Each source with the reason for which it does not apply.
        tried: Vec<(&'static str, String)>,
    },
}

impl CredentialsError {
    /// Whether another try may help.
    pub fn transient(&self) -> bool {
        matches!(self, Self::Role { transient: true, .. })
    }
}

fn list(tried: &[(&'static str, String)]) -> String {
    let rows: Vec<String> = tried.iter().map(|(source, why)| format!("{source}: {why}")).collect();
    rows.join("; ")
}

/// Gives out the credentials of the moment.
#[async_trait]
pub trait CredentialsProvider: Send + Sync {
    /// Credentials that are valid as far as is known.
    async fn credentials(&self) -> Result<Arc<Credentials>, CredentialsError>;

    /// The cloud said that these are no longer valid.
    fn expired(&self, seen: &Credentials);

    /// Where the last ones came from, for people.
    fn origin(&self) -> String {
        "given".to_owned()
    }
}

/// Credentials that do not change.
pub fn fixed(credentials: Credentials) -> Arc<dyn CredentialsProvider> {
    Arc::new(Fixed(Arc::new(credentials)))
}

struct Fixed(Arc<Credentials>);

#[async_trait]
impl CredentialsProvider for Fixed {
    async fn credentials(&self) -> Result<Arc<Credentials>, CredentialsError> {
        Ok(self.0.clone())
    }

    fn expired(&self, _: &Credentials) {}
}

/// A key as texts that may be there or not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyTexts {
    /// Id of the key.
    pub key_id: Option<String>,
    /// Its secret.
    pub secret: Option<Secret>,
    /// Its security token.
    pub token: Option<Secret>,
}

impl fmt::Debug for KeyTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTexts").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl KeyTexts {
    /// The key that an environment has; `var` reads a variable. Empty ones count as not set, as a manifest
    /// leaves them that has a place for a key and none to put there.
    pub fn from_environment(var: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name| var(name).filter(|value| !value.is_empty());
        Self {
            key_id: var(ENV_KEY_ID),
            secret: var(ENV_SECRET).map(Secret::new),
            token: var(ENV_TOKEN).map(Secret::new),
        }
    }
}

/// Where credentials may come from, in order.
#[derive(Default)]
pub struct Sources {
    /// What the configuration says.
    pub explicit: KeyTexts,
    /// Folder of the mounted secret, [`SECRET_DIR`] unless the operator has another.
    pub secret_dir: Option<PathBuf>,
    /// What the environment says: see [`KeyTexts::from_environment`].
    pub environment: KeyTexts,
    /// The instance's role.
    pub role: Option<Arc<RoleCredentials>>,
}

/// Credentials of the first source that applies.
pub fn chain(sources: Sources) -> Arc<dyn CredentialsProvider> {
    Arc::new(Chain { sources, files: Mutex::default(), origin: Mutex::default() })
}

type Found = Result<Option<Arc<Credentials>>, CredentialsError>;

struct Chain {
    sources: Sources,
    /// What the files said, and until when that is believed.
    files: Mutex<Option<(Instant, Found)>>,
    origin: Mutex<Option<String>>,
}

const EXPLICIT: &str = "configuration";
const MOUNTED: &str = "mounted secret";
const ENVIRONMENT: &str = "environment";
const ROLE: &str = "RAM role of the instance";

impl Chain {
    fn mounted(&self, dir: &Path) -> Found {
        let now = Instant::now();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match &*files {
            Some((until, found)) if *until > now => found.clone(),
            _ => {
                let found = read_files(dir);
                *files = Some((now + FILES_LIVE, found.clone()));
                found
            }
        }
    }

    fn use_of(&self, origin: impl FnOnce() -> String) {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = Some(origin());
    }
}

#[async_trait]
impl CredentialsProvider for Chain {
    async fn credentials(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let Sources { explicit, secret_dir, environment, role } = &self.sources;
        let mut tried = Vec::new();
        let names = ["the access key id", "the access key secret", "the security token"];
        if let Some(found) = pair(EXPLICIT, names, explicit)? {
            self.use_of(|| EXPLICIT.to_owned());
            return Ok(found);
        }
        tried.push((EXPLICIT, "no access key".to_owned()));
        if let Some(dir) = secret_dir {
            if let Some(found) = self.mounted(dir)? {
                self.use_of(|| format!("{MOUNTED} in {}", dir.display()));
                return Ok(found);
            }
            tried.push((MOUNTED, format!("`{}` is not there", dir.join(KEY_ID_FILE).display())));
        }
        if let Some(found) = pair(ENVIRONMENT, [ENV_KEY_ID, ENV_SECRET, ENV_TOKEN], environment)? {
            self.use_of(|| ENVIRONMENT.to_owned());
            return Ok(found);
        }
        tried.push((ENVIRONMENT, format!("{ENV_KEY_ID} is not set")));
        match role {
            Some(role) => match role.credentials().await {
                Ok(found) => {
                    self.use_of(|| role.origin());
                    return Ok(found);
                }
                Err(CredentialsError::Role { reason, transient: false }) => tried.push((ROLE, reason)),
                // The only source that can be asked again: its own error says the most.
                Err(error) => return Err(error),
            },
            None => tried.push((ROLE, "not allowed by the configuration".to_owned())),
        }
        Err(CredentialsError::None { tried })
    }

    fn expired(&self, seen: &Credentials) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(role) = &self.sources.role {
            role.expired(seen);
        }
    }

    fn origin(&self) -> String {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }
}

/// Both, or none.
fn pair(source_name: &'static str, names: [&str; 3], texts: &KeyTexts) -> Found {
    let half = |given: &str, missing: &str| {
        Err(CredentialsError::Half { source_name, given: given.to_owned(), missing: missing.to_owned() })
    };
    match (&texts.key_id, &texts.secret) {
        (Some(key_id), Some(secret)) => {
            let token = texts.token.clone();
            let credentials =
                Credentials { key_id: key_id.clone(), secret: secret.clone(), token, expires: None };
            check(source_name, names, &credentials)?;
            Ok(Some(Arc::new(credentials)))
        }
        (Some(_), None) => half(names[0], names[1]),
        (None, Some(_)) => half(names[1], names[0]),
        (None, None) if texts.token.is_some() => half(names[2], names[0]),
        (None, None) => Ok(None),
    }
}

/// What is no part of an HTTP header can not be used; better said here than by the request.
pub(crate) fn check(
    source_name: &'static str,
    names: [&str; 3],
    credentials: &Credentials,
) -> Result<(), CredentialsError> {
    let token = credentials.token.as_ref().map(Secret::expose);
    let texts = [Some(credentials.key_id.as_str()), Some(credentials.secret.expose()), token];
    for (name, text) in names.into_iter().zip(texts) {
        let reason = match text {
            Some("") => "empty",
            Some(text) if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "a text with spaces, controls or letters beyond ASCII"
            }
            _ => continue,
        };
        return Err(CredentialsError::Malformed { source_name, what: name.to_owned(), reason });
    }
    Ok(())
}

/// Small files on a volume in memory: reading them does not wait for a disk.
fn read_files(dir: &Path) -> Found {
    let (id_path, secret_path) = (dir.join(KEY_ID_FILE), dir.join(SECRET_FILE));
    let texts = KeyTexts {
        key_id: read_file(&id_path)?,
        secret: read_file(&secret_path)?.map(Secret::new),
        token: None,
    };
    let shown = [&id_path, &secret_path].map(|path| format!("`{}`", path.display()));
    pair(MOUNTED, [&shown[0], &shown[1], "the token"], &texts)
}

fn read_file(path: &Path) -> Result<Option<String>, CredentialsError> {
    match std::fs::read_to_string(path) {
        // Editors and `echo` leave a newline.
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CredentialsError::Unreadable {
            source_name: MOUNTED,
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests;
