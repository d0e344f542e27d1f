//! Signature V3, `ACS3-HMAC-SHA256`: in headers, over the headers, the query and the hash of the body.

use std::time::SystemTime;

use terway_cloud::sign::{self, Signable};

use super::{Signed, check_date, check_token, incomplete, key_of};
use crate::endpoint::{
    fault::Fault,
    keys::{Caller, Keys},
    params::Params,
};

/// Name of the header that carries a role's token: never to be repeated to anyone.
const TOKEN: &str = "x-acs-security-token";

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
        let malformed = || incomplete("expected ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…");
        let parts = value.strip_prefix(sign::ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
        let (mut key_id, mut signed, mut signature) = (None, None, None);
        for part in parts.ok_or_else(malformed)?.split(',') {
            match part.trim().split_once('=') {
                Some(("Credential", id)) => key_id = Some(id),
                Some(("SignedHeaders", names)) => signed = Some(names.split(';').collect()),
                Some(("Signature", text)) => signature = Some(text),
                _ => return Err(malformed()),
            }
        }
        match (key_id, signed, signature) {
            (Some(key_id), Some(signed), Some(signature)) => Ok(Self { key_id, signed, signature }),
            _ => Err(malformed()),
        }
    }
}

/// Proves who calls; the nonce is the caller's to remember.
pub(super) fn verify(
    request: &Signed<'_>,
    params: &Params,
    keys: &Keys,
    now: SystemTime,
) -> Result<(Caller, String), Fault> {
    let authorization = Authorization::parse(request.header("authorization")?)?;
    let (date, nonce) = (request.header("x-acs-date")?, request.header("x-acs-signature-nonce")?);
    let claimed_hash = request.header("x-acs-content-sha256")?;
    let (caller, key) = key_of(keys, authorization.key_id)?;
    check_date(date, now)?;
    let token = request.headers.contains_key(TOKEN).then(|| request.header(TOKEN)).transpose()?;
    check_token(&key, token, now)?;
    let headers = signed_headers(request, &authorization)?;
    // A form in the body is signed by its hash, not as parameters.
    let query = if request.body.is_empty() {
        sign::canonical_query(params.iter())
    } else {
        sign::canonical_query(Params::parse(request.query, b"")?.iter())
    };
    let payload_hash = sign::payload_hash(request.body);
    let signable = Signable {
        method: request.method,
        path: request.path,
        query: &query,
        headers: &headers,
        payload_hash: &payload_hash,
    };
    if signable.signature(&key.secret) != authorization.signature || claimed_hash != payload_hash {
        return Err(mismatch(&signable));
    }
    Ok((caller, nonce.to_owned()))
}

/// The vendor tells its own text too: it is what one compares with to find the difference.
fn mismatch(signable: &Signable<'_>) -> Fault {
    let masked: Vec<(&str, &str)> = signable
        .headers
        .iter()
        .map(|(name, value)| (*name, if *name == TOKEN { "***" } else { *value }))
        .collect();
    let message = format!(
        "Specified signature is not matched with our calculation. server canonical request is: {}",
        Signable { headers: &masked, ..*signable }.canonical()
    );
    Fault::new("SignatureDoesNotMatch", message)
}

/// The signed headers by name. Everything that must be signed has to be among them.
fn signed_headers<'a>(
    request: &Signed<'a>,
    authorization: &Authorization<'a>,
) -> Result<Vec<(&'a str, &'a str)>, Fault> {
    let must = |name: &&str| matches!(*name, "host" | "content-type") || name.starts_with("x-acs-");
    let mut present = request.headers.keys().map(http::HeaderName::as_str).filter(must);
    if let Some(name) = present.find(|name| !authorization.signed.contains(name)) {
        return Err(incomplete(&format!("{name} is not signed")));
    }
    let mut names = authorization.signed.clone();
    names.sort_unstable();
    names.into_iter().map(|name| Ok((name, request.header(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_has_its_three_parts_in_any_order() {
        let value = "ACS3-HMAC-SHA256 Signature=ab,Credential=id, SignedHeaders=host;x-acs-date";
        let authorization = Authorization::parse(value).expect("complete");
        assert_eq!(authorization.signed, ["host", "x-acs-date"]);
        assert_eq!((authorization.key_id, authorization.signature), ("id", "ab"));
        for bad in [
            "",
            "ACS3-HMAC-SHA256",
            "ACS3-HMAC-SHA256 Credential=id",
            "ACS3-HMAC-SM3 Credential=id,SignedHeaders=host,Signature=ab",
            "ACS3-HMAC-SHA256 Credential=id,SignedHeaders=host,Signature=ab,More=x",
        ] {
            assert_eq!(Authorization::parse(bad).expect_err(bad).code, "IncompleteSignature");
        }
    }
}
