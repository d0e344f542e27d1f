//! Who calls, proven by a signature; the refusals are the vendor's.
//!
//! Two kinds are understood: V3, in headers, which all current SDKs send ([`v3`]), and the older one of RPC-style
//! APIs, in parameters ([`rpc`]), which they send when told so. Both share keys, dates and nonces: a nonce that was
//! used with the one is used for the other too.

pub mod rpc;
pub mod v3;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
    time::{Duration, SystemTime},
};

use http::HeaderMap;

pub use self::v3::Authorization;
use super::{
    fault::Fault,
    keys::{AccessKey, Caller, Keys},
    params::Params,
};

/// A request's date may be off by this much (documented).
const SKEW: Duration = Duration::from_secs(15 * 60);
/// Most nonces that are remembered, the youngest: those of half an hour at 500 calls per second. A busier endpoint
/// forgets earlier, which lets a repeated request pass that the vendor would refuse, and costs no memory.
const NONCES: usize = 1_000_000;

/// The part of a request that is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, as sent.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Signed<'a> {
    /// A header that must be there, once, in ASCII.
    fn header(&self, name: &str) -> Result<&'a str, Fault> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().and_then(|value| value.to_str().ok()).map(str::trim);
        match (value, values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value),
            (_, Some(_)) => Err(incomplete(&format!("{name} is given more than once"))),
            _ => Err(Fault::missing(name)),
        }
    }
}

/// Nonces seen within the time in which a repeated request could still pass.
#[derive(Debug, Default)]
pub struct Nonces {
    seen: BTreeSet<String>,
    by_age: VecDeque<(SystemTime, String)>,
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

/// Proves who calls, or refuses. Parameters that are about the signature are taken out of `params`.
pub fn verify(
    request: &Signed<'_>,
    params: &mut Params,
    keys: &Keys,
    nonces: &Mutex<Nonces>,
    now: SystemTime,
) -> Result<Caller, Fault> {
    let (caller, nonce) = if request.headers.contains_key(http::header::AUTHORIZATION) {
        v3::verify(request, params, keys, now)?
    } else if params.has("Signature") || params.has("AccessKeyId") {
        rpc::verify(request.method, params, keys, now)?
    } else {
        return Err(Fault::missing("Authorization"));
    };
    // Last: whoever cannot sign must not be able to use up the nonces of others.
    if !nonces.lock().expect("nothing panics under this lock").fresh(&nonce, now) {
        return Err(Fault::new("SignatureNonceUsed", "Specified signature nonce was used already."));
    }
    Ok(caller)
}

fn incomplete(why: &str) -> Fault {
    let message = format!("The request signature does not conform to Aliyun standards: {why}.");
    Fault::new("IncompleteSignature", message)
}

fn key_of(keys: &Keys, id: &str) -> Result<(Caller, AccessKey), Fault> {
    keys.find(id)
        .ok_or_else(|| Fault::new("InvalidAccessKeyId.NotFound", "Specified access key is not found."))
}

fn check_date(date: &str, now: SystemTime) -> Result<(), Fault> {
    let parsed = date.parse::<jiff::Timestamp>().ok().filter(|_| date.len() == 20 && date.ends_with('Z'));
    let Some(date) = parsed.map(SystemTime::from) else {
        let message = "Specified time stamp or date value is not well formatted; expected such as \
                       2026-01-31T23:59:59Z.";
        return Err(Fault::new("InvalidTimeStamp.Format", message));
    };
    let skew = now.duration_since(date).unwrap_or_else(|ahead| ahead.duration());
    if skew > SKEW {
        return Err(Fault::new("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
    }
    Ok(())
}

/// Keys of a role come with a token; others must come without.
fn check_token(key: &AccessKey, shown: Option<&str>, now: SystemTime) -> Result<(), Fault> {
    match (&key.token, shown) {
        (None, None) => Ok(()),
        (Some(_), None) => {
            Err(Fault::new("MissingSecurityToken", "SecurityToken is mandatory for this action."))
        }
        (Some(token), Some(shown)) if token == shown => {
            if key.expires.is_some_and(|end| end <= now) {
                return Err(Fault::new(
                    "InvalidSecurityToken.Expired",
                    "Specified SecurityToken is expired.",
                ));
            }
            Ok(())
        }
        _ => {
            let message = "Specified SecurityToken mismatch with the AccessKey.";
            Err(Fault::new("InvalidSecurityToken.MismatchWithAccessKey", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_fresh_again_when_no_request_of_its_time_could_pass() {
        let (mut nonces, start) =
            (Nonces::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        assert!(nonces.fresh("a", start));
        assert!(!nonces.fresh("a", start + 2 * SKEW));
        assert!(nonces.fresh("b", start + 2 * SKEW));
        assert!(nonces.fresh("a", start + 2 * SKEW + Duration::from_secs(1)));
        assert_eq!(nonces.by_age.len(), 2);
    }

    #[test]
    fn dates_are_to_the_second_in_utc_and_near() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let code = |date: &str| check_date(date, now).err().map(|fault| fault.code);
        assert_eq!(code("2026-01-01T00:15:00Z"), None);
        assert_eq!(code("2025-12-31T23:45:00Z"), None);
        assert_eq!(code("2026-01-01T00:15:01Z").as_deref(), Some("InvalidTimeStamp.Expired"));
        for bad in ["", "2026-01-01", "2026-01-01T00:00:00+00", "2026-13-01T00:00:00Z", "1767225600"] {
            assert_eq!(code(bad).as_deref(), Some("InvalidTimeStamp.Format"), "{bad}");
        }
    }
}
