//! The older signature of RPC-style APIs, HMAC-SHA1 over all parameters, which are sent beside it.
//!
//! Source: "Request syntax and signature method V2 for RPC APIs" of the vendor's documentation.

use std::time::SystemTime;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use terway_cloud::sign;

use super::{check_date, check_token, key_of};
use crate::endpoint::{
    fault::Fault,
    keys::{Caller, Keys},
    params::Params,
};

/// Proves who calls, and takes what is about the signature out of the parameters; the nonce is the caller's to
/// remember.
pub(super) fn verify(
    method: &str,
    params: &mut Params,
    keys: &Keys,
    now: SystemTime,
) -> Result<(Caller, String), Fault> {
    let text = to_sign(method, params.iter());
    let given = params.required("Signature")?;
    let (key_id, date) = (params.required("AccessKeyId")?, params.required("Timestamp")?);
    let nonce = params.required("SignatureNonce")?;
    for (name, only) in [("SignatureMethod", "HMAC-SHA1"), ("SignatureVersion", "1.0")] {
        let value = params.required(name)?;
        if value != only {
            return Err(Fault::invalid(name, &value, &format!("{only} is what this endpoint verifies")));
        }
    }
    let (caller, key) = key_of(keys, &key_id)?;
    check_date(&date, now)?;
    check_token(&key, params.text("SecurityToken").as_deref(), now)?;
    if signature(&text, &key.secret) != given {
        // The text that was signed holds the role's token, so that it is not told.
        let message = "Specified signature is not matched with our calculation.";
        return Err(Fault::new("SignatureDoesNotMatch", message));
    }
    Ok((caller, nonce))
}

/// Method, path and canonical query, each percent-encoded once more, joined by `&`.
fn to_sign<'a>(method: &str, params: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let query = sign::canonical_query(params.filter(|(name, _)| *name != "Signature"));
    // Encoded as the only parameter of a query, without its name.
    let encoded = sign::canonical_query([("", query.as_str())]);
    format!("{method}&%2F&{}", encoded.trim_start_matches('='))
}

fn signature(text: &str, secret: &str) -> String {
    let key = format!("{secret}&");
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation, with its result.
    #[test]
    fn the_vendors_example_comes_out_as_printed() {
        let params = Params::parse(
            "Timestamp=2016-02-23T12:46:24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions\
             &SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&Version=2014-05-26\
             &SignatureVersion=1.0",
            b"",
        )
        .expect("fine");
        let text = to_sign("GET", params.iter());
        assert_eq!(
            text,
            "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1\
             %26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0%26Timestamp%3D\
             2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
        );
        assert_eq!(signature(&text, "testsecret"), "OLeaidS1JvxuMvnyHOwuJ+uX5qY=");
    }
}
