//! Query parameters of a request.

/// The parameters that the server understands; others are ignored.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the protocol")]
pub(super) struct Query {
    pub(super) watch: bool,
    pub(super) field_selector: Option<String>,
    pub(super) label_selector: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) continue_token: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) match_not_older: bool,
    pub(super) bookmarks: bool,
    pub(super) send_initial_events: bool,
    pub(super) timeout: Option<u64>,
    pub(super) grace: Option<i64>,
}

impl Query {
    /// Parses `a=b&c=d`; a number that is none is as if absent.
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            let on = matches!(value.as_str(), "true" | "1");
            match name {
                "watch" => query.watch = on,
                "fieldSelector" => query.field_selector = Some(value),
                "labelSelector" => query.label_selector = Some(value),
                "limit" => query.limit = value.parse().ok(),
                "continue" => query.continue_token = Some(value).filter(|token| !token.is_empty()),
                "resourceVersion" => query.resource_version = Some(value),
                "resourceVersionMatch" => query.match_not_older = value == "NotOlderThan",
                "allowWatchBookmarks" => query.bookmarks = on,
                "sendInitialEvents" => query.send_initial_events = on,
                "timeoutSeconds" => query.timeout = value.parse().ok().filter(|seconds| *seconds > 0),
                "gracePeriodSeconds" => query.grace = value.parse().ok(),
                _ => {}
            }
        }
        query
    }
}

/// Undoes percent and plus encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let hex =
            || std::str::from_utf8(tail.get(..2)?).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match first {
            b'+' => bytes.push(b' '),
            b'%' if let Some(byte) = hex() => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("&watch=true&fieldSelector=spec.nodeName%3Dn+1&limit=x&timeoutSeconds=290");
        assert!(query.watch);
        assert_eq!(query.field_selector.as_deref(), Some("spec.nodeName=n 1"));
        assert_eq!((query.limit, query.timeout), (None, Some(290)));
        assert_eq!(decode("100%"), "100%");
    }
}
