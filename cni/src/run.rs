//! From environment and stdin to stdout and exit code: one JSON document, or nothing where success says
//! nothing.

use std::io::Read;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::{
    config::{self, Config, ConfigError},
    env::{self, Command, EnvError, Lookup},
    error::Failure,
    result::Version,
    verb::{self, Call},
};

/// What a person sees who starts the plugin by hand.
const USAGE: &str = "terway is a CNI plugin: a container runtime starts it, with CNI_COMMAND set and a network\n\
    configuration on stdin (https://www.cni.dev/docs/spec/). To try it:\n\
    \n    echo '{}' | CNI_COMMAND=VERSION terway\n";

/// What the process leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// One JSON document, or nothing.
    pub stdout: String,
    /// For people.
    pub stderr: String,
    /// Exit code.
    pub code: u8,
}

impl Output {
    fn done(stdout: String) -> Self {
        Self { stdout, stderr: String::new(), code: 0 }
    }

    /// The output for a failure.
    pub fn failed(failure: &Failure, version: Version) -> Self {
        Self { stdout: failure.json(version), stderr: format!("terway: {failure}\n"), code: 1 }
    }
}

/// Boot time, as the wall clock may step between this process and the agent.
fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// Carries a call out.
pub fn run(lookup: &Lookup<'_>, stdin: &mut dyn Read) -> Output {
    // Before stdin is read: an allocation that is made from here on cannot be in a list that GC is given.
    let started_at_boot_ms = boot_ms();
    let command = match env::command(lookup) {
        Ok(Command::Version) => return Output::done(versions(stdin)),
        Ok(command) => command,
        Err(EnvError::NoCommand) => {
            return Output { stdout: String::new(), stderr: USAGE.into(), code: 1 };
        }
        Err(error) => return Output::failed(&error.into(), Version::LATEST),
    };
    let document = match config::read(stdin) {
        Ok(document) => document,
        Err(error) => return Output::failed(&error.into(), Version::LATEST),
    };
    let version = match config::version(&document) {
        Ok(version) => version,
        Err(error) => return Output::failed(&error.into(), Version::LATEST),
    };
    let outcome = (|| {
        require(command, version)?;
        let config = Config::new(document)?;
        let env = env::read(lookup, command)?;
        let call = Call { config: &config, env: &env, started_at_boot_ms };
        match command {
            Command::Add => verb::add::add(&call).map(|result| result.json(version)),
            Command::Del => verb::del::del(&call).map(|()| String::new()).map_err(Failure::audible),
            Command::Check => verb::check::check(&call).map(|()| String::new()),
            Command::Gc => verb::gc::gc(&call).map(|()| String::new()),
            Command::Status => verb::status::status(&call).map(|()| String::new()),
            Command::Version => unreachable!("answered above"),
        }
    })();
    outcome.map_or_else(|failure| Output::failed(&failure, version), Output::done)
}

/// That the verb exists in the version.
fn require(command: Command, version: Version) -> Result<(), Failure> {
    let (since, what) = match command {
        Command::Check => (Version::V0_4_0, "has no CHECK, so it is"),
        Command::Gc => (Version::V1_1_0, "has no GC, so it is"),
        Command::Status => (Version::V1_1_0, "has no STATUS, so it is"),
        _ => return Ok(()),
    };
    if version >= since {
        return Ok(());
    }
    Err(ConfigError::Version { found: version.as_str().into(), what }.into())
}

/// Works with nothing but the verb: what stdin holds is echoed if it is a version that we speak.
fn versions(stdin: &mut dyn Read) -> String {
    let document = config::read(stdin).unwrap_or_default();
    let said = document.get("cniVersion").and_then(Value::as_str).and_then(Version::parse);
    let version = said.unwrap_or(Version::LATEST).as_str();
    json!({"cniVersion": version, "supportedVersions": Version::names()}).to_string()
}
