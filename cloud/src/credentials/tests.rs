//! Which source applies, and what each says when it is broken.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::{
    metadata::MetadataClient,
    testing::{Answer, FakeHttp, StandingClock, reply},
};

fn texts(key_id: Option<&str>, secret: Option<&str>) -> KeyTexts {
    KeyTexts { key_id: key_id.map(str::to_owned), secret: secret.map(Secret::new), token: None }
}

fn mounted(key_id: Option<&str>, secret: Option<&str>) -> TempDir {
    let dir = TempDir::new().expect("a folder");
    for (name, text) in [(KEY_ID_FILE, key_id), (SECRET_FILE, secret)] {
        if let Some(text) = text {
            fs::write(dir.path().join(name), text).expect("writable");
        }
    }
    dir
}

fn role(http: Arc<FakeHttp>) -> Arc<RoleCredentials> {
    Arc::new(RoleCredentials::new(Arc::new(MetadataClient::new(http, "http://meta")), StandingClock::new()))
}

fn with_role() -> Arc<RoleCredentials> {
    role(FakeHttp::new(|request, _| match request.uri().path() {
        "/latest/meta-data/ram/security-credentials/" => reply(200, "terway"),
        "/latest/meta-data/ram/security-credentials/terway" => reply(
            200,
            r#"{"AccessKeyId": "STS.role", "AccessKeySecret": "hidden", "SecurityToken": "hidden",
                "Expiration": "2026-01-01T06:00:00Z", "Code": "Success"}"#,
        ),
        _ => reply(404, ""),
    }))
}

async fn found(sources: Sources) -> Result<(String, String), CredentialsError> {
    let chain = chain(sources);
    let credentials = chain.credentials().await?;
    Ok((credentials.key_id.clone(), chain.origin()))
}

#[tokio::test(start_paused = true)]
async fn the_first_source_that_applies_is_used() {
    let dir = mounted(Some("file-key\n"), Some("hidden\n"));
    let path = || Some(dir.path().to_owned());
    let environment = KeyTexts::from_environment(|name| match name {
        ENV_KEY_ID => Some("env-key".to_owned()),
        ENV_SECRET => Some("hidden".to_owned()),
        _ => None,
    });
    let all = || Sources {
        explicit: texts(Some("given-key"), Some("hidden")),
        secret_dir: path(),
        environment: environment.clone(),
        role: Some(with_role()),
    };
    assert_eq!(found(all()).await.expect("given").0, "given-key");
    let sources = Sources { explicit: KeyTexts::default(), ..all() };
    let (key, origin) = found(sources).await.expect("mounted");
    assert_eq!(key, "file-key");
    assert!(origin.starts_with("mounted secret in /"), "{origin}");
    let nowhere = Some(dir.path().join("nothing"));
    let sources = Sources { explicit: KeyTexts::default(), secret_dir: nowhere.clone(), ..all() };
    assert_eq!(found(sources).await.expect("environment"), ("env-key".to_owned(), "environment".to_owned()));
    let role = Some(with_role());
    let sources = Sources { secret_dir: nowhere, role, ..Sources::default() };
    let origin = "RAM role `terway` of the instance".to_owned();
    assert_eq!(found(sources).await.expect("role"), ("STS.role".to_owned(), origin));
}

#[tokio::test]
async fn half_a_pair_is_an_error_that_names_both_halves() {
    let error = async |sources| found(sources).await.expect_err("broken").to_string();
    let half = mounted(Some("key"), None);
    let sources = Sources {
        secret_dir: Some(half.path().to_owned()),
        // Would do, but whoever mounted a secret means it.
        environment: texts(Some("env-key"), Some("s")),
        ..Sources::default()
    };
    let dir = half.path().display();
    let expected = format!(
        "mounted secret: `{dir}/access-key-secret` is not set although `{dir}/access-key-id` is; set both or neither"
    );
    assert_eq!(error(sources).await, expected);
    let sources = Sources { environment: texts(None, Some("s")), ..Sources::default() };
    let shown = error(sources).await;
    assert!(shown.starts_with("environment: ALIBABA_CLOUD_ACCESS_KEY_ID is not set"), "{shown}");
    let environment = KeyTexts { token: Some(Secret::new("t")), ..KeyTexts::default() };
    let shown = error(Sources { environment, ..Sources::default() }).await;
    assert!(shown.contains("although ALIBABA_CLOUD_SECURITY_TOKEN is"), "{shown}");
    let sources = Sources { explicit: texts(Some("k"), None), ..Sources::default() };
    let shown = error(sources).await;
    assert!(shown.starts_with("configuration: the access key secret is not set"), "{shown}");
}

#[tokio::test]
async fn what_can_be_no_credential_is_refused_without_being_told() {
    let dir = mounted(Some("key"), Some("hidden two"));
    let sources = Sources { secret_dir: Some(dir.path().to_owned()), ..Sources::default() };
    let shown = found(sources).await.expect_err("a space").to_string();
    assert!(shown.contains("access-key-secret` is a text with spaces"), "{shown}");
    assert!(!shown.contains("hidden"), "{shown}");
    let dir = mounted(Some("key"), Some("\n"));
    let sources = Sources { secret_dir: Some(dir.path().to_owned()), ..Sources::default() };
    let shown = found(sources).await.expect_err("empty").to_string();
    assert!(shown.contains("access-key-secret` is empty"), "{shown}");
    // A folder in the place of a file: there, and not readable.
    let dir = mounted(Some("key"), None);
    fs::create_dir(dir.path().join(SECRET_FILE)).expect("writable");
    let sources = Sources { secret_dir: Some(dir.path().to_owned()), ..Sources::default() };
    let shown = found(sources).await.expect_err("a folder").to_string();
    assert!(shown.contains("can not be read"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn without_any_source_the_error_lists_what_was_tried() {
    let dir = mounted(None, None);
    let http = FakeHttp::new(|request, _| reply(if request.method() == "PUT" { 200 } else { 404 }, "token"));
    let sources =
        Sources { secret_dir: Some(dir.path().to_owned()), role: Some(role(http)), ..Sources::default() };
    let shown = found(sources).await.expect_err("nothing").to_string();
    let expected = format!(
        "no credentials: configuration: no access key; mounted secret: `{}/access-key-id` is not there; \
         environment: ALIBABA_CLOUD_ACCESS_KEY_ID is not set; RAM role of the instance: the instance has no RAM role",
        dir.path().display()
    );
    assert_eq!(shown, expected);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_silent_is_an_error_that_another_try_may_mend() {
    let sources = Sources { role: Some(role(FakeHttp::new(|_, _| Answer::Never))), ..Sources::default() };
    let error = found(sources).await.expect_err("silent");
    assert!(error.transient(), "{error}");
    assert!(error.to_string().contains("http://meta/latest/api/token gives no answer within 2 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_replaced_is_seen_within_a_minute_or_at_once_when_the_old_one_is_refused() {
    let dir = mounted(Some("old"), Some("s"));
    let chain = chain(Sources { secret_dir: Some(dir.path().to_owned()), ..Sources::default() });
    let key = async || chain.credentials().await.expect("there");
    assert_eq!(key().await.key_id, "old");
    fs::write(dir.path().join(KEY_ID_FILE), "new").expect("writable");
    assert_eq!(key().await.key_id, "old");
    tokio::time::advance(FILES_LIVE).await;
    assert_eq!(key().await.key_id, "new");
    fs::write(dir.path().join(KEY_ID_FILE), "newest").expect("writable");
    chain.expired(&*key().await);
    assert_eq!(key().await.key_id, "newest");
}

#[test]
fn no_secret_shows_in_debug_output() {
    let secret = || Some(Secret::new("hidden"));
    let texts = KeyTexts { key_id: Some("key".to_owned()), secret: secret(), token: secret() };
    let credentials = Credentials {
        key_id: "key".to_owned(),
        secret: Secret::new("hidden"),
        token: secret(),
        expires: None,
    };
    let shown = format!("{texts:?} {credentials:?} {:?} {:?}", secret(), with_role());
    assert!(!shown.contains("hidden") && shown.contains("key"), "{shown}");
}
