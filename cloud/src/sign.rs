//! Signature V3 of Alibaba's OpenAPI, `ACS3-HMAC-SHA256`.
//!
//! Source: "Request syntax and signature method V3" of the vendor's documentation. Pure functions:
//! date and nonce are headers that the caller made.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Name of the algorithm, first word of the `Authorization` header.
pub const ALGORITHM: &str = "ACS3-HMAC-SHA256";
/// SHA-256 of an empty body, in hexadecimal.
pub const EMPTY_BODY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// `POST` or `GET`.
    pub method: &'a str,
    /// Path; `/` for RPC-style APIs.
    pub path: &'a str,
    /// [`canonical_query`] of its parameters.
    pub query: &'a str,
    /// Signed headers with lower-case names, sorted by name.
    pub headers: &'a [(&'a str, &'a str)],
    /// Value of `x-acs-content-sha256`.
    pub payload_hash: &'a str,
}

impl Signable<'_> {
    /// The text whose hash is signed.
    pub fn canonical(&self) -> String {
        let mut text = String::with_capacity(256 + self.query.len());
        for part in [self.method, self.path, self.query] {
            text.push_str(part);
            text.push('\n');
        }
        for (name, value) in self.headers {
            text.push_str(name);
            text.push(':');
            text.push_str(value.trim());
            text.push('\n');
        }
        text.push('\n');
        self.write_names(&mut text);
        text.push('\n');
        text.push_str(self.payload_hash);
        text
    }

    /// Names of the signed headers, joined by `;`.
    pub fn signed_headers(&self) -> String {
        let mut names = String::with_capacity(96);
        self.write_names(&mut names);
        names
    }

    fn write_names(&self, to: &mut String) {
        for (index, (name, _)) in self.headers.iter().enumerate() {
            if index > 0 {
                to.push(';');
            }
            to.push_str(name);
        }
    }

    /// The signature, in lower-case hexadecimal.
    pub fn signature(&self, secret: &str) -> String {
        let canonical = hex(&Sha256::digest(self.canonical()));
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(ALGORITHM.as_bytes());
        mac.update(b"\n");
        mac.update(canonical.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// Value of the `Authorization` header.
    pub fn authorization(&self, key_id: &str, secret: &str) -> String {
        let mut value = String::with_capacity(320);
        value.push_str(ALGORITHM);
        value.push_str(" Credential=");
        value.push_str(key_id);
        value.push_str(",SignedHeaders=");
        self.write_names(&mut value);
        value.push_str(",Signature=");
        value.push_str(&self.signature(secret));
        value
    }
}

/// Parameters as they are signed and sent: percent-encoded, sorted by name in byte order, so that
/// `X.10` comes before `X.2`.
pub fn canonical_query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sorted: Vec<(&str, &str)> = parameters.into_iter().collect();
    sorted.sort_unstable();
    let mut query =
        String::with_capacity(sorted.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            query.push('&');
        }
        percent_encode(name, &mut query);
        query.push('=');
        percent_encode(value, &mut query);
    }
    query
}

/// Appends `text` with everything but the unreserved characters of RFC 3986 as `%XX`.
fn percent_encode(text: &str, to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(DIGITS[usize::from(byte >> 4)]));
            to.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// SHA-256 of a body, in lower-case hexadecimal: value of `x-acs-content-sha256`.
pub fn payload_hash(body: &[u8]) -> String {
    if body.is_empty() { EMPTY_BODY.to_owned() } else { hex(&Sha256::digest(body)) }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worked_example(date: &str, nonce: &str) -> (String, String) {
        let query = canonical_query([
            ("RegionId", "cn-shanghai"),
            ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
        ]);
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", EMPTY_BODY),
            ("x-acs-date", date),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", "2014-05-26"),
        ];
        let signable = Signable {
            method: "POST",
            path: "/",
            query: &query,
            headers: &headers,
            payload_hash: EMPTY_BODY,
        };
        (hex(&Sha256::digest(signable.canonical())), signable.signature("YourAccessKeySecret"))
    }

    /// The two examples that the vendor prints with their signatures.
    #[test]
    fn the_vendors_examples_come_out_as_printed() {
        assert_eq!(
            worked_example("2023-10-26T10:22:32Z", "3156853299f313e23d1673dc12e1703d"),
            (
                "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259".to_owned(),
                "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0".to_owned()
            )
        );
        assert_eq!(
            worked_example("2023-10-26T09:01:01Z", "d410180a5abf7fe235dd9b74aca91fc0"),
            (
                "29622f5feb1e9fcaaa2e276a72889c975f7b16f00e02be1ca34965b18cd85015".to_owned(),
                "e521358f7776c97df52e6b2891a8bc73026794a071b50c3323388c4e0df64804".to_owned()
            )
        );
    }

    #[test]
    fn everything_but_the_unreserved_is_escaped() {
        let query = canonical_query([("a b*", "ü+/:~"), ("X.2", ""), ("X.10", "é"), ("X.1", "-_.~")]);
        assert_eq!(query, "X.1=-_.~&X.10=%C3%A9&X.2=&a%20b%2A=%C3%BC%2B%2F%3A~");
    }

    proptest::proptest! {
        /// Whoever reads the query as a form, as the server does, reads the parameters.
        #[test]
        fn parameters_survive_the_query(parameters in proptest::collection::btree_map(".{0,12}", ".{0,24}", 0..12)) {
            let query = canonical_query(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let read: std::collections::BTreeMap<String, String> =
                query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (decode(n), decode(v))).collect();
            proptest::prop_assert_eq!(read, parameters);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%&=".contains(&byte);
            proptest::prop_assert!(query.bytes().all(plain), "{}", query);
        }
    }

    fn decode(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first == b'%' {
                let digits = std::str::from_utf8(&tail[..2]).expect("two digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                rest = &tail[2..];
            } else {
                bytes.push(*first);
            }
        }
        String::from_utf8(bytes).expect("it was text before")
    }

    #[test]
    fn an_empty_body_has_the_known_hash() {
        assert_eq!(hex(&Sha256::digest(b"")), EMPTY_BODY);
        assert_eq!(payload_hash(b""), EMPTY_BODY);
    }
}
