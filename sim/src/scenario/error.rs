//! Why a scenario cannot be read: one line, and sometimes a hint.

use std::path::PathBuf;

use terway_chaos::InputError;

/// Bad input: the text of a scenario, an override, or a file that it names.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A key or a value of the scenario.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A name that no built-in scenario has.
    #[error("there is no scenario `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name there is.
        near: Option<String>,
    },
    /// A file that cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An override that is not `path=value`, or whose path leads nowhere.
    #[error("`--set {text}` {problem}")]
    Override {
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A recorded workload that cannot be used at all.
    #[error("`{path}` {problem}")]
    Trace {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// The scenario replays a recorded workload, and none was given.
    #[error("`{0}` is missing: this scenario replays a recorded workload")]
    NoTrace(&'static str),
}

impl ScenarioError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Unknown { near: None, .. } => {
                Some("`terway-sim list` names them; a file of one's own ends in .toml".to_owned())
            }
            Self::Override { .. } => Some("for example --set agent.min_pool_size=4".to_owned()),
            Self::NoTrace(_) => Some("give --trace pods.csv --trace-nodes nodes.csv".to_owned()),
            Self::Trace { hint, .. } => Some(hint.clone()),
            Self::Input(_) | Self::Read { .. } => None,
        }
    }
}
