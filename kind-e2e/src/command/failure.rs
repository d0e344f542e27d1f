//! What went wrong, and what to do about it: the text and the exit code.

use terway_e2e::{
    clean::CleanError, cluster::ClusterError, control::ControlError, programs::ProgramError,
    supervisor::chain,
};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// What the user wrote, or does not have.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: 2 }
    }

    /// What did not work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: 1 }
    }

    /// What to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// What is printed.
    pub(crate) fn text(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        format!("error: {}\n{hint}", self.message)
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Nobody { .. } => Self::input(error.to_string()),
            ControlError::Broken { .. } | ControlError::Failed(_) => Self::failed(chain(&error)),
        }
    }
}

impl From<CleanError> for Failure {
    fn from(error: CleanError) -> Self {
        Self::failed(chain(&error))
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        Self::input(error.to_string())
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Spec(_) | ClusterError::Running { .. } | ClusterError::Unknown { .. } => {
                Self::input(chain(&error))
            }
            _ => Self::failed(chain(&error)),
        }
    }
}
