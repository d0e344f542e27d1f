//! Access keys: one of the operator, and for each instance those that its RAM role gives out.
//!
//! An instance's keys are made of the seed, its id and the hour, so that the endpoint keeps no list of
//! them: whoever shows a key is known by its id, and the secret is computed again.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use terway_core::id::InstanceId;

/// A role gives out new keys this often.
const ROTATES: Duration = Duration::from_secs(3_600);
/// How long keys live, counted from the start of their hour: six hours, as those of the vendor.
const LIVES: Duration = Duration::from_secs(6 * 3_600);
/// How keys of a role begin.
const ROLE_KEY: &str = "STS.";

/// A key as it is given out.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AccessKeyId`
    pub id: String,
    /// `AccessKeySecret`
    pub secret: String,
    /// `SecurityToken`, for keys of a role.
    pub token: Option<String>,
    /// When it ends, for keys of a role.
    pub expires: Option<SystemTime>,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// Who has the account's key.
    Operator,
    /// An instance, with a key of its role.
    Instance(InstanceId),
}

/// All keys of the account.
#[derive(Debug)]
pub struct Keys {
    seed: u64,
    operator: AccessKey,
}

impl Keys {
    /// The keys of an account. The operator's key is `sim-access-key` / `sim-access-key-secret` unless
    /// told otherwise: it guards nothing but a simulation.
    pub fn new(seed: u64, operator: Option<(String, String)>) -> Self {
        let (id, secret) =
            operator.unwrap_or_else(|| ("sim-access-key".to_owned(), "sim-access-key-secret".to_owned()));
        Self { seed, operator: AccessKey { id, secret, token: None, expires: None } }
    }

    /// The operator's key.
    pub fn operator(&self) -> &AccessKey {
        &self.operator
    }

    /// What the role of an instance gives out now.
    pub fn of_instance(&self, instance: &InstanceId, now: SystemTime) -> AccessKey {
        self.of_hour(instance, hour(now))
    }

    fn of_hour(&self, instance: &InstanceId, hour: u64) -> AccessKey {
        AccessKey {
            id: format!("{ROLE_KEY}{instance}.{hour}"),
            secret: self.derive("secret", instance, hour),
            token: Some(self.derive("token", instance, hour)),
            expires: Some(SystemTime::UNIX_EPOCH + ROTATES * hour as u32 + LIVES),
        }
    }

    /// A token for the metadata of an instance that ends at this second since 1970.
    pub fn metadata_token(&self, instance: &InstanceId, ends: u64) -> String {
        format!("{ends}-{}", self.derive("metadata", instance, ends))
    }

    /// Whether a token is for the metadata of this instance, and lives.
    pub fn admits(&self, instance: &InstanceId, token: &str, now: SystemTime) -> bool {
        let ends = token.split_once('-').and_then(|(ends, _)| ends.parse().ok());
        ends.is_some_and(|ends| seconds(now) < ends && self.metadata_token(instance, ends) == token)
    }

    fn derive(&self, what: &str, instance: &InstanceId, when: u64) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.seed.to_be_bytes()).expect("HMAC takes keys of any length");
        mac.update(format!("{what}/{instance}/{when}").as_bytes());
        mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes everything");
            text
        })
    }

    /// The key of an id, and whose it is; it may have ended.
    pub fn find(&self, id: &str) -> Option<(Caller, AccessKey)> {
        if id == self.operator.id {
            return Some((Caller::Operator, self.operator.clone()));
        }
        let (instance, hour) = id.strip_prefix(ROLE_KEY)?.rsplit_once('.')?;
        // An hour beyond this is no time at all.
        let hour = hour.parse::<u64>().ok().filter(|hour| *hour < 10_000_000)?;
        let instance = InstanceId::from(instance);
        let key = self.of_hour(&instance, hour);
        (key.id == id).then_some((Caller::Instance(instance), key))
    }
}

/// Whole seconds since 1970.
pub(super) fn seconds(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn hour(now: SystemTime) -> u64 {
    seconds(now) / ROTATES.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_role_is_found_again_by_its_id() {
        let keys = Keys::new(7, None);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let key = keys.of_instance(&"i-a.b".into(), now);
        let (caller, found) = keys.find(&key.id).expect("known");
        assert_eq!((caller, &found), (Caller::Instance("i-a.b".into()), &key));
        assert!(key.expires.is_some_and(|end| end > now + Duration::from_secs(5 * 3_600 - 1)));
        assert_ne!(Keys::new(8, None).find(&key.id).map(|(_, key)| key.secret), Some(key.secret));
    }

    #[test]
    fn what_is_no_key_is_not_found() {
        let keys = Keys::new(7, None);
        for id in
            ["", "STS.", "STS.i-1", "STS.i-1.", "STS.i-1.x", "STS.i-1.007", "STS.i-1.99999999999", "LTAI"]
        {
            assert_eq!(keys.find(id).map(|(caller, _)| caller), None, "{id}");
        }
    }

    #[test]
    fn a_metadata_token_is_for_one_instance_and_ends() {
        let keys = Keys::new(7, None);
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let token = keys.metadata_token(&"i-1".into(), 1_000);
        assert!(keys.admits(&"i-1".into(), &token, at(999)));
        assert!(!keys.admits(&"i-1".into(), &token, at(1_000)), "it has ended");
        assert!(!keys.admits(&"i-2".into(), &token, at(999)), "it is for another instance");
        let forged = token.replacen("1000", "2000", 1);
        for bad in ["", "1000", "1000-", &forged] {
            assert!(!keys.admits(&"i-1".into(), bad, at(999)), "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let keys = Keys::new(7, None);
        let key = keys.of_instance(&"i-1".into(), SystemTime::UNIX_EPOCH);
        let shown = format!("{key:?} {keys:?}");
        assert!(!shown.contains(&key.secret) && !shown.contains("sim-access-key-secret"), "{shown}");
    }
}
