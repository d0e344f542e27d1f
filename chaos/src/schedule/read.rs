//! Reading schedules: each complaint names the field, the value, and what is allowed.

use std::time::Duration;

use super::{Fault, Schedule, Target};
use crate::kind::{Acting, Arg, FaultKind, TargetKind, traits_of};
use crate::{duration, near};

/// Why a text is not a schedule, a table of rates, or a reproducer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The text is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A key that nothing reads.
    #[error("`{field}` is not a key here{}; allowed: {allowed}", hint(near.as_deref()))]
    UnknownKey {
        /// The path of the key.
        field: String,
        /// The keys that are read.
        allowed: String,
        /// The nearest of them.
        near: Option<String>,
    },
    /// A key that must be there.
    #[error("`{field}` is missing; allowed: {allowed}")]
    Missing {
        /// The path of the key.
        field: String,
        /// What may be written.
        allowed: String,
    },
    /// A value that is not allowed.
    #[error("`{field}` is {value}{}; allowed: {allowed}", hint(near.as_deref()))]
    Value {
        /// The path of the key.
        field: String,
        /// What was written, as TOML.
        value: String,
        /// What may be written.
        allowed: String,
        /// The nearest allowed name.
        near: Option<String>,
    },
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

impl InputError {
    pub(crate) fn value(field: impl Into<String>, value: &toml::Value, allowed: impl Into<String>) -> Self {
        Self::Value { field: field.into(), value: value.to_string(), allowed: allowed.into(), near: None }
    }

    fn near(mut self, name: Option<String>) -> Self {
        if let Self::Value { near, .. } = &mut self {
            *near = name;
        }
        self
    }
}

/// A table being read: knows its path, and that every key must have been asked for.
pub(crate) struct Reader<'a> {
    path: String,
    table: &'a toml::Table,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: impl Into<String>, table: &'a toml::Table) -> Self {
        Self { path: path.into(), table }
    }

    pub(crate) fn field(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a toml::Value> {
        self.table.get(key)
    }

    pub(crate) fn required(&self, key: &str, allowed: &str) -> Result<&'a toml::Value, InputError> {
        self.get(key)
            .ok_or_else(|| InputError::Missing { field: self.field(key), allowed: allowed.to_owned() })
    }

    /// Refuses keys that are not `allowed`.
    pub(crate) fn only(&self, allowed: &[&str]) -> Result<(), InputError> {
        match self.table.keys().find(|key| !allowed.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(InputError::UnknownKey {
                field: self.field(key),
                allowed: allowed.join(", "),
                near: near::nearest(key, allowed.iter().copied()).map(str::to_owned),
            }),
        }
    }

    pub(crate) fn duration(&self, key: &str, value: &toml::Value) -> Result<Duration, InputError> {
        const ALLOWED: &str = "a duration of whole milliseconds, such as 250ms, 30s or 12m3.5s";
        value
            .as_str()
            .and_then(|text| duration::parse(text).ok())
            .filter(|d| d.subsec_nanos() % 1_000_000 == 0)
            .ok_or_else(|| InputError::value(self.field(key), value, ALLOWED))
    }

    pub(crate) fn text(&self, key: &str, allowed: &str) -> Result<&'a str, InputError> {
        let value = self.required(key, allowed)?;
        value.as_str().ok_or_else(|| InputError::value(self.field(key), value, allowed))
    }

    pub(crate) fn probability(&self) -> Result<Option<f64>, InputError> {
        let Some(value) = self.get("probability") else { return Ok(None) };
        value
            .as_float()
            .or_else(|| value.as_integer().map(|n| n as f64))
            .filter(|p| *p > 0.0 && *p <= 1.0)
            .map(Some)
            .ok_or_else(|| InputError::value(self.field("probability"), value, "a number above 0, at most 1"))
    }

    /// A target that a kind can be aimed at; the whole cluster where nothing is written.
    pub(crate) fn target(&self, kind: TargetKind) -> Result<Target, InputError> {
        let Some(value) = self.get("target") else { return Ok(Target::Cluster) };
        let allowed = match kind {
            TargetKind::Node => "cluster, node:NAME",
            TargetKind::Cloud => "cluster, node:NAME, action:NAME",
            TargetKind::VSwitch => "cluster, vswitch:ID",
            TargetKind::Zone => "cluster, zone:NAME",
        };
        let target = value.as_str().and_then(|text| match text.split_once(':') {
            None => (text == "cluster").then_some(Target::Cluster),
            Some((_, "")) => None,
            Some(("node", name)) => Some(Target::Node(name.to_owned())),
            Some(("action", name)) => Some(Target::CloudAction(name.to_owned())),
            Some(("vswitch", id)) => Some(Target::VSwitch(id.to_owned())),
            Some(("zone", name)) => Some(Target::Zone(name.to_owned())),
            Some(_) => None,
        });
        target
            .filter(|target| target.fits(kind))
            .ok_or_else(|| InputError::value(self.field("target"), value, allowed))
    }

    /// The arguments of the kind `name` that are written here.
    pub(crate) fn given_args(&self, name: &str) -> Result<Vec<(&'static str, Arg)>, InputError> {
        let mut given = Vec::new();
        for (arg, spec, _) in FaultKind::arg_specs(name) {
            if let Some(value) = self.get(arg) {
                let read = spec
                    .read(value)
                    .map_err(|near| InputError::value(self.field(arg), value, spec.allowed()).near(near))?;
                given.push((arg, read));
            }
        }
        Ok(given)
    }
}

/// The error for a fault kind that does not exist.
pub(crate) fn unknown_kind(field: String, name: &str) -> InputError {
    InputError::Value {
        field,
        value: format!("\"{name}\""),
        allowed: FaultKind::NAMES.join(", "),
        near: near::nearest(name, FaultKind::NAMES.iter().copied()).map(str::to_owned),
    }
}

/// The text as a TOML table.
pub(crate) fn table(text: &str) -> Result<toml::Table, InputError> {
    text.parse::<toml::Table>().map_err(|error| InputError::Syntax(error.to_string().trim_end().to_owned()))
}

impl Schedule {
    /// Reads the form that [`Schedule::to_toml`] writes; nothing but `[[fault]]` may stand in the text.
    pub fn from_toml(text: &str) -> Result<Self, InputError> {
        let table = table(text)?;
        Reader::new("", &table).only(&["fault"])?;
        Self::from_table(&table)
    }

    /// Reads the `[[fault]]` entries of a larger document; none is an empty schedule.
    pub fn from_table(table: &toml::Table) -> Result<Self, InputError> {
        let Some(value) = table.get("fault") else { return Ok(Self::default()) };
        let wrong = || InputError::value("fault", value, "tables, each headed [[fault]]");
        let entries = value.as_array().ok_or_else(wrong)?;
        entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                // People count from one.
                fault(&Reader::new(format!("fault[{}]", index + 1), entry.as_table().ok_or_else(wrong)?))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Self::new)
    }
}

fn fault(from: &Reader<'_>) -> Result<Fault, InputError> {
    let name = from.text("kind", "the name of a fault kind")?;
    let traits = traits_of(name).ok_or_else(|| unknown_kind(from.field("kind"), name))?;
    let specs = FaultKind::arg_specs(name);
    let mut keys = vec!["at", "kind", "target"];
    keys.extend(specs.iter().map(|(arg, ..)| *arg));
    match traits.acting {
        Acting::Once => {}
        Acting::While => keys.push("for"),
        Acting::PerCall => keys.extend(["for", "probability"]),
    }
    from.only(&keys)?;
    let given = from.given_args(name)?;
    let mut args = Vec::new();
    for (arg, spec, usual) in specs {
        let value = given.iter().find(|(name, _)| *name == arg).map(|(_, value)| value.clone()).or(usual);
        args.push(
            value.ok_or_else(|| InputError::Missing { field: from.field(arg), allowed: spec.allowed() })?,
        );
    }
    let lasts = match from.get("for") {
        None => traits.default_for,
        Some(value) => match from.duration("for", value)? {
            Duration::ZERO => {
                return Err(InputError::value(from.field("for"), value, "a duration above zero"));
            }
            lasts => lasts,
        },
    };
    Ok(Fault {
        at: from.duration("at", from.required("at", "a duration, such as 12m3.5s")?)?,
        target: from.target(traits.target)?,
        lasts,
        probability: from.probability()?.unwrap_or(1.0),
        kind: FaultKind::build(name, &args).expect("each argument was read by the spec of this kind"),
    })
}
