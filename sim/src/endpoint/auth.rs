//! Who calls, proven by signature V3; the refusals are the vendor's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use terway_cloud::sign::{self, Signable};

use super::{
    fault::Fault,
    keys::{Caller, Keys},
    params::Params,
};

/// A request's date may be off by this much (documented).
const SKEW: Duration = Duration::from_secs(15 * 60);
/// Most nonces that are remembered; older ones go first. More would be calls of 15 min at 1,000/s.
const NONCES: usize = 1_000_000;

/// The part of a request that is signed.
#[derive(Clone, Debug)]
pub struct Signed<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// Headers with lower-case names; several of one name are joined by commas.
    pub headers: &'a BTreeMap<String, String>,
    /// The body.
    pub body: &'a [u8],
}

impl Signed<'_> {
    fn header(&self, name: &str) -> Result<&str, Fault> {
        match self.headers.get(name).map(String::as_str) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(Fault::missing(name)),
        }
    }
}

/// What an `Authorization` header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// Id of the key.
    pub key_id: &'a str,
    /// Names of the signed headers, in their order.
    pub signed: Vec<&'a str>,
    /// Lower-case hexadecimal.
    pub signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads the value of the header.
    pub fn parse(value: &'a str) -> Result<Self, Fault> {
        let incomplete = || {
            let message = "The request signature does not conform to Aliyun standards: expected \
                           ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=….";
            Fault::new("IncompleteSignature", message)
        };
        let parts = value.strip_prefix(sign::ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let (mut key_id, mut signed, mut signature) = (None, None, None);
        for part in parts.ok_or_else(incomplete)?.split(',') {
            match part.trim().split_once('=') {
                Some(("Credential", id)) => key_id = Some(id),
                Some(("SignedHeaders", names)) => signed = Some(names.split(';').collect()),
                Some(("Signature", text)) => signature = Some(text),
                _ => return Err(incomplete()),
            }
        }
        match (key_id, signed, signature) {
            (Some(key_id), Some(signed), Some(signature)) => Ok(Self { key_id, signed, signature }),
            _ => Err(incomplete()),
        }
    }
}

/// Nonces seen within the time in which a repeated request could still pass.
#[derive(Debug, Default)]
pub struct Nonces {
    seen: BTreeSet<String>,
    by_age: std::collections::VecDeque<(SystemTime, String)>,
}

impl Nonces {
    /// Remembers a nonce. False when it was used already.
    fn fresh(&mut self, nonce: &str, now: SystemTime) -> bool {
        // A date may lie SKEW ahead: the request passes for twice that time.
        let old = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age > 2 * SKEW);
        while self.by_age.front().is_some_and(|(at, _)| old(at)) || self.by_age.len() >= NONCES {
            if let Some((_, nonce)) = self.by_age.pop_front() {
                self.seen.remove(&nonce);
            }
        }
        if !self.seen.insert(nonce.to_owned()) {
            return false;
        }
        self.by_age.push_back((now, nonce.to_owned()));
        true
    }
}

/// Proves who calls, or refuses.
pub fn verify(
    request: &Signed<'_>,
    params: &Params,
    keys: &Keys,
    nonces: &std::sync::Mutex<Nonces>,
    now: SystemTime,
) -> Result<Caller, Fault> {
    let authorization = Authorization::parse(request.header("authorization")?)?;
    let (date, nonce) = (request.header("x-acs-date")?, request.header("x-acs-signature-nonce")?);
    let claimed_hash = request.header("x-acs-content-sha256")?;
    let (caller, key) = keys.find(authorization.key_id).ok_or_else(|| {
        Fault::new("InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    })?;
    check_date(date, now)?;
    check_token(request, &key, now)?;
    let headers = signed_headers(request, &authorization)?;
    let query = sign::canonical_query(params.iter());
    let payload_hash = sign::payload_hash(request.body);
    let signable = Signable {
        method: request.method,
        path: request.path,
        query: &query,
        headers: &headers,
        payload_hash: &payload_hash,
    };
    if signable.signature(&key.secret) != authorization.signature || claimed_hash != payload_hash {
        // The vendor tells its own text too: it is what one compares with to find the difference.
        let message = format!(
            "Specified signature is not matched with our calculation. server canonical request is: {}",
            signable.canonical()
        );
        return Err(Fault::new("SignatureDoesNotMatch", message));
    }
    if !nonces.lock().expect("nothing panics under this lock").fresh(nonce, now) {
        return Err(Fault::new("SignatureNonceUsed", "Specified signature nonce was used already."));
    }
    Ok(caller)
}

fn check_date(date: &str, now: SystemTime) -> Result<(), Fault> {
    let parsed = date.parse::<jiff::Timestamp>().ok().filter(|_| date.len() == 20 && date.ends_with('Z'));
    let Some(date) = parsed.map(SystemTime::from) else {
        let message = format!("Specified time stamp or date value is not well formatted: {date}");
        return Err(Fault::new("InvalidTimeStamp.Format", message));
    };
    let skew = now.duration_since(date).unwrap_or_else(|ahead| ahead.duration());
    if skew > SKEW {
        return Err(Fault::new("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
    }
    Ok(())
}

fn check_token(request: &Signed<'_>, key: &super::keys::AccessKey, now: SystemTime) -> Result<(), Fault> {
    let Some(token) = &key.token else { return Ok(()) };
    if request.header("x-acs-security-token")? != token {
        let message = "Specified SecurityToken mismatch with the AccessKey.";
        return Err(Fault::new("InvalidSecurityToken.MismatchWithAccessKey", message));
    }
    if key.expires.is_some_and(|end| end <= now) {
        return Err(Fault::new("InvalidSecurityToken.Expired", "Specified SecurityToken is expired."));
    }
    Ok(())
}

/// The signed headers by name. Everything that must be signed has to be among them.
fn signed_headers<'a>(
    request: &'a Signed<'_>,
    authorization: &Authorization<'a>,
) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    let must = |name: &&String| *name == "host" || name.starts_with("x-acs-");
    if let Some(name) = request.headers.keys().filter(must).find(|n| !authorization.signed.contains(&n.as_str())) {
        let message = format!("The request signature does not conform to Aliyun standards: {name} is not signed.");
        return Err(Fault::new("IncompleteSignature", message));
    }
    authorization.signed.iter().map(|name| Ok((*name, request.header(name)?))).collect()
}
