//! Text that must not be seen: it has no `Display`, and `Debug` tells nothing of it.

use std::fmt;

/// A secret: of an access key, or a security token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing and for the header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even its length: that of an empty one would be told, too.
        f.write_str("<secret>")
    }
}
