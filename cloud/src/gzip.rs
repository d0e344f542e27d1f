//! Bodies unpacked, within a bound: a reply of a few kilobytes can unpack to gigabytes.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};

/// Longest body, as it came and unpacked. The longest reply that we ask for, a page of a hundred ENIs with
/// fifty addresses each, has about 1 MiB.
pub const BODY_MAX: usize = 32 << 20;

/// A body that can not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// An encoding that was not asked for.
    #[error("`content-encoding` is `{0}`; allowed are `gzip` and `identity`")]
    Unknown(String),
    /// Not gzip, or cut short.
    #[error("the body is not gzip")]
    Broken(#[source] std::io::Error),
    /// More than [`BODY_MAX`].
    #[error("the body unpacks to more than {BODY_MAX} bytes")]
    TooLong,
}

/// The body as it was before its encoding.
pub fn unpack(headers: &HeaderMap, body: Bytes) -> Result<Bytes, UnpackError> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(body) };
    match encoding.to_str().map(str::trim) {
        Ok("" | "identity") => Ok(body),
        Ok(gzip) if gzip.eq_ignore_ascii_case("gzip") => gunzip(&body),
        _ => Err(UnpackError::Unknown(String::from_utf8_lossy(encoding.as_bytes()).into_owned())),
    }
}

fn gunzip(packed: &[u8]) -> Result<Bytes, UnpackError> {
    let mut plain = Vec::with_capacity((packed.len() * 4).min(BODY_MAX));
    let bound = BODY_MAX as u64 + 1;
    MultiGzDecoder::new(packed).take(bound).read_to_end(&mut plain).map_err(UnpackError::Broken)?;
    if plain.len() > BODY_MAX { Err(UnpackError::TooLong) } else { Ok(plain.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;

    use super::*;

    fn packed(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).expect("memory");
        encoder.finish().expect("memory").into()
    }

    fn encoded(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))])
    }

    #[test]
    fn a_packed_body_reads_as_the_plain_one() {
        let plain = Bytes::from_static(b"{\"RequestId\":\"1\"}");
        assert_eq!(unpack(&encoded("gzip"), packed(&plain)).expect("gzip"), plain);
        assert_eq!(unpack(&HeaderMap::new(), plain.clone()).expect("plain"), plain);
    }

    #[test]
    fn what_unpacks_without_end_is_refused_before_it_fills_the_memory() {
        let bomb = packed(&vec![b' '; BODY_MAX + 1]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert!(matches!(unpack(&encoded("gzip"), bomb), Err(UnpackError::TooLong)));
    }

    #[test]
    fn other_encodings_and_broken_ones_are_errors() {
        let error = unpack(&encoded("br"), Bytes::new()).expect_err("not asked for");
        assert!(error.to_string().contains("`br`"), "{error}");
        assert!(unpack(&encoded("gzip"), Bytes::from_static(b"{}")).is_err());
        let mut cut = packed(b"a body that ends too soon");
        cut.truncate(20);
        assert!(unpack(&encoded("gzip"), cut).is_err());
    }
}
