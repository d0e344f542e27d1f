//! Bad input: one line, and a hint where one is known.

use terway_sim::{run::RunError, scenario::ScenarioError};

/// What is wrong with what the user wrote.
#[derive(Debug)]
pub(crate) struct Bad {
    /// One line.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Bad {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// An error with its causes, on one line.
    pub(crate) fn chain(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(message)
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {what} `{}`: {error}", path.display()))
    }
}

impl From<ScenarioError> for Bad {
    fn from(error: ScenarioError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl From<RunError> for Bad {
    fn from(error: RunError) -> Self {
        Self::chain(&error)
    }
}
