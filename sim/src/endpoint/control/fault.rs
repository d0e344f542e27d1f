//! Faults of the chaos vocabulary, struck at a cloud that has no cluster around it.
//!
//! A target `node:ID` is the instance of that id here. Kinds that are about agents, kernels or Kubernetes have
//! nothing to strike and are refused by name.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use serde_json::json;
use terway_chaos::{Fault, FaultClass, FaultKind, InputError, Schedule, Target, kind::traits_of, near};
use terway_core::{
    cloud::{Action, EniStatus},
    id::{InstanceId, VSwitchId},
    limits::InstanceLimits,
};
use tokio::{sync::watch, time::sleep};

use super::{Control, ControlError, Done, error, told};
use crate::{cloud::MetadataFault, inject::translate, root};

/// What is given back when a fault is over.
#[derive(Default)]
struct Undo {
    vswitches: Vec<VSwitchId>,
    limits: Vec<(InstanceId, InstanceLimits)>,
    metadata: Vec<InstanceId>,
}

impl Control {
    /// Strikes with the faults of a request; those with a time in future strike then.
    pub(super) fn strike(self: &Arc<Self>, request: &Request<Bytes>) -> Result<Done, ControlError> {
        let schedule = Schedule::from_table(&read(request)?)?;
        for fault in schedule.faults() {
            self.check(fault)?;
        }
        for fault in schedule.faults() {
            let mut healed = self.healed.subscribe();
            let (control, fault) = (Arc::clone(self), fault.clone());
            if fault.at.is_zero() {
                // Before the answer: whoever has it may rely on it.
                let undo = control.begin(&fault);
                root::spawn(async move { control.hold(&fault, undo, healed).await });
                continue;
            }
            root::spawn(async move {
                tokio::select! {
                    biased;
                    _ = healed.changed() => return,
                    () = sleep(fault.at) => {}
                }
                let undo = control.begin(&fault);
                control.hold(&fault, undo, healed).await;
            });
        }
        let stories: Vec<String> = schedule.faults().iter().map(Fault::story).collect();
        Ok(told(json!({ "faults": stories })))
    }

    /// Nothing is wrong any more, and nothing that was to come comes.
    pub(super) fn heal(&self) {
        self.cloud().heal();
        self.healed.send_modify(|times| *times += 1);
    }

    /// Whether a fault can strike here: its kind, and what it is aimed at.
    fn check(&self, fault: &Fault) -> Result<(), ControlError> {
        if !strikes_clouds(fault.kind.name()) {
            let allowed: Vec<&str> =
                FaultKind::NAMES.iter().copied().filter(|name| strikes_clouds(name)).collect();
            return Err(wrong("kind", fault.kind.name(), allowed.join(", "), None));
        }
        match &fault.target {
            Target::Node(id) if !self.cloud().has_instance(&id.as_str().into()) => {
                Err(wrong("target", &fault.target.to_string(), "node:ID of an instance", None))
            }
            Target::CloudAction(name) if Action::parse(name).is_none() => {
                let names = || Action::ALL.iter().map(|action| action.name());
                let allowed = names().collect::<Vec<_>>().join(", ");
                Err(wrong("target", &fault.target.to_string(), allowed, near::nearest(name, names())))
            }
            Target::VSwitch(id) if self.cloud().zone_of(&id.as_str().into()).is_none() => {
                Err(wrong("target", &fault.target.to_string(), "vswitch:ID of a vSwitch", None))
            }
            _ => Ok(()),
        }
    }

    fn begin(&self, fault: &Fault) -> Undo {
        let (cloud, mut undo) = (self.cloud(), Undo::default());
        let instances: Vec<InstanceId> = match &fault.target {
            Target::Node(id) => vec![id.as_str().into()],
            _ => cloud.instances(),
        };
        if let Some(window) = translate::window(fault, instances.first()) {
            cloud.add_window(window);
            return undo;
        }
        match &fault.kind {
            FaultKind::Exhausted => {
                undo.vswitches = match &fault.target {
                    Target::VSwitch(id) => vec![id.as_str().into()],
                    _ => cloud.vswitches(),
                };
                for id in &undo.vswitches {
                    cloud.exhaust_vswitch(id, 0);
                }
            }
            FaultKind::OutOfBandDetach => {
                for instance in &instances {
                    let enis = cloud.enis_of(instance);
                    let primary = cloud.primary_nic(instance);
                    let usable = enis
                        .iter()
                        .find(|eni| eni.status == EniStatus::InUse && Some(&eni.id) != primary.as_ref());
                    if let Some(eni) = usable {
                        cloud.out_of_band_detach(&eni.id);
                    }
                }
            }
            FaultKind::LimitChange => {
                for instance in instances {
                    if let Some(limits) = cloud.limits_of(&instance) {
                        cloud.limit_change(&instance, translate::one_eni_less(limits));
                        undo.limits.push((instance, limits));
                    }
                }
            }
            kind => {
                if let Some(fault) = translate::metadata(kind) {
                    for instance in &instances {
                        cloud.set_metadata_fault(instance, fault);
                    }
                    undo.metadata = instances;
                }
            }
        }
        undo
    }

    /// Waits until a fault is over, and gives back what it took.
    async fn hold(&self, fault: &Fault, undo: Undo, mut healed: watch::Receiver<u64>) {
        tokio::select! {
            biased;
            _ = healed.changed() => {}
            () = sleep(fault.lasts) => {}
        }
        for id in &undo.vswitches {
            self.cloud().relieve_vswitch(id);
        }
        for (instance, limits) in &undo.limits {
            self.cloud().limit_change(instance, *limits);
        }
        for instance in &undo.metadata {
            self.cloud().set_metadata_fault(instance, MetadataFault::default());
        }
    }
}

/// Whether a kind is about the cloud's API or its metadata.
fn strikes_clouds(name: &str) -> bool {
    traits_of(name).is_some_and(|traits| matches!(traits.class, FaultClass::Cloud | FaultClass::Metadata))
}

fn wrong(field: &str, value: &str, allowed: impl Into<String>, near: Option<&str>) -> ControlError {
    let near = near.map(str::to_owned);
    ControlError::Input(InputError::Value {
        field: field.to_owned(),
        value: format!("\"{value}\""),
        allowed: allowed.into(),
        near,
    })
}

/// The faults of a request: TOML as schedules are written, or JSON, one or a list. A time is left out for now.
fn read(request: &Request<Bytes>) -> Result<toml::Table, ControlError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut faults = if kind.starts_with("application/toml") {
        let text =
            std::str::from_utf8(request.body()).map_err(|error| InputError::Syntax(error.to_string()))?;
        let table =
            text.parse::<toml::Table>().map_err(|error| InputError::Syntax(error.message().to_owned()))?;
        crate::scenario::Section::new("", &table).only(&["fault"])?;
        table.get("fault").cloned().unwrap_or(toml::Value::Array(Vec::new()))
    } else {
        match error::json(request.body())? {
            one @ toml::Value::Table(_) => toml::Value::Array(vec![one]),
            other => other,
        }
    };
    for fault in faults.as_array_mut().into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        fault.entry("at").or_insert_with(|| toml::Value::from("0ms"));
    }
    let mut table = toml::Table::new();
    table.insert("fault".to_owned(), faults);
    Ok(table)
}
