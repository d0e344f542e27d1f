//! The control API, `/_sim/…`: what people do to the cloud other than by its own API.
//!
//! It asks for no signature and belongs on a listener of its own, on loopback. Bodies are JSON; complaints are JSON
//! with `error`, and where one field is to blame `field` and `allowed`. Everything is documented in
//! `docs/cloud-endpoint.md`.

mod error;
mod fault;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use serde::Serialize;
use serde_json::{Value, json};
use terway_core::{
    id::{EniId, InstanceId, VSwitchId},
    limits::InstanceLimits,
};
use tokio::sync::watch;

pub use self::error::ControlError;
use super::{Endpoint, events::Events};
use crate::{
    cloud::{FakeCloud, InstanceState},
    scenario::Section,
};

/// A body that may be a stream.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The control API of an endpoint.
pub struct Control {
    endpoint: Arc<Endpoint>,
    events: Arc<Events>,
    /// Counts how often everything was healed.
    healed: watch::Sender<u64>,
}

/// What an operation yields.
enum Done {
    Json(StatusCode, Value),
    Watch,
}

fn told(value: impl Serialize) -> Done {
    let value = serde_json::to_value(value).expect("what is told has texts as keys and no other surprise");
    Done::Json(StatusCode::OK, value)
}

impl Control {
    /// The control API of an endpoint whose cloud is observed by `events`.
    pub fn new(endpoint: Arc<Endpoint>, events: Arc<Events>) -> Arc<Self> {
        Arc::new(Self { endpoint, events, healed: watch::Sender::new(0) })
    }

    /// One request to its answer.
    #[expect(clippy::unused_async, reason = "a service of the server")]
    pub async fn answer(self: &Arc<Self>, request: Request<Bytes>) -> Answer {
        let (status, body) = match self.perform(&request) {
            Ok(Done::Watch) => {
                let mut response = Response::new(UnsyncBoxBody::new(self.events.watch()));
                let lines = HeaderValue::from_static("application/x-ndjson");
                response.headers_mut().insert(CONTENT_TYPE, lines);
                return response;
            }
            Ok(Done::Json(status, value)) => (status, value),
            Err(error) => (error.status(), error.tell()),
        };
        let mut response = Response::new(Full::from(format!("{body}\n")).boxed_unsync());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn perform(self: &Arc<Self>, request: &Request<Bytes>) -> Result<Done, ControlError> {
        let path = request.uri().path();
        let Some(rest) = path.strip_prefix("/_sim/") else {
            return Err(ControlError::NoPath(path.to_owned()));
        };
        let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        let only = |allowed: Method| {
            if *request.method() == allowed {
                return Ok(());
            }
            Err(ControlError::Method { method: request.method().clone(), allowed })
        };
        match parts[..] {
            ["state"] => only(Method::GET).map(|()| told(self.cloud().state())),
            ["counters"] => only(Method::GET).map(|()| told(self.cloud().counters())),
            ["events"] => only(Method::GET).map(|()| Done::Watch),
            ["faults"] if request.method() == Method::DELETE => {
                self.heal();
                Ok(told(json!({})))
            }
            ["faults"] => only(Method::POST).and_then(|()| self.strike(request)),
            ["instances"] => only(Method::POST).and_then(|()| self.add_instance(&fields(request)?)),
            ["instances", id] => only(Method::DELETE)
                .and_then(|()| found("instance", id, self.cloud().release_instance(&id.into()))),
            ["instances", id, "state"] => {
                only(Method::POST).and_then(|()| self.set_state(&id.into(), &fields(request)?))
            }
            ["instances", id, "limits"] => {
                only(Method::POST).and_then(|()| self.set_limits(&id.into(), &fields(request)?))
            }
            ["enis", id, "detach"] => only(Method::POST).and_then(|()| self.detach(&id.into())),
            ["enis", id, "delete"] => only(Method::POST)
                .and_then(|()| found("secondary ENI", id, self.cloud().out_of_band_delete(&id.into()))),
            ["vswitches", id, "exhaust"] => {
                only(Method::POST).and_then(|()| self.exhaust(&id.into(), &fields(request)?))
            }
            ["vswitches", id, "relieve"] => only(Method::POST)
                .and_then(|()| found("vSwitch", id, self.cloud().relieve_vswitch(&id.into()))),
            _ => Err(ControlError::NoPath(path.to_owned())),
        }
    }

    fn cloud(&self) -> &Arc<FakeCloud> {
        self.endpoint.cloud()
    }

    fn add_instance(&self, table: &toml::Table) -> Result<Done, ControlError> {
        let from = Section::new("", table);
        from.only(&["id", "type", "vswitch", "zone"])?;
        let needed = |key: &str, such: &str| -> Result<String, ControlError> {
            Ok(from.text(key)?.ok_or_else(|| from.missing(key, such))?.to_owned())
        };
        let id = needed("id", "a new id such as i-1")?;
        if id.contains('/') {
            return Err(from.wrong("id", "an id without a slash").into());
        }
        let kind = needed("type", "an instance type such as ecs.g7.xlarge")?;
        let vswitch = VSwitchId::from(needed("vswitch", "the id of a vSwitch")?);
        let zone = match from.text("zone")? {
            Some(zone) => zone.into(),
            None => self
                .cloud()
                .zone_of(&vswitch)
                .ok_or_else(|| ControlError::NotFound { what: "vSwitch", id: vswitch.to_string() })?,
        };
        let nic = self.cloud().add_instance(id.clone(), kind, zone, &vswitch)?;
        let made = json!({
            "id": id,
            "eni": nic.eni,
            "mac": nic.mac,
            "vswitch": nic.vswitch,
            "cidr": nic.cidr,
            "gateway": nic.gateway,
            "addresses": nic.addresses,
        });
        Ok(Done::Json(StatusCode::CREATED, made))
    }

    fn set_state(&self, id: &InstanceId, table: &toml::Table) -> Result<Done, ControlError> {
        const ALLOWED: &str = "Starting, Running, Stopping or Stopped";
        let from = Section::new("", table);
        from.only(&["state"])?;
        let state = from.read("state", ALLOWED, |value| {
            Some(match value.as_str()? {
                "Starting" => InstanceState::Starting,
                "Running" => InstanceState::Running,
                "Stopping" => InstanceState::Stopping,
                "Stopped" => InstanceState::Stopped,
                _ => return None,
            })
        })?;
        let state = state.ok_or_else(|| from.missing("state", ALLOWED))?;
        found("instance", id.as_str(), self.cloud().set_instance_state(id, state))
    }

    fn set_limits(&self, id: &InstanceId, table: &toml::Table) -> Result<Done, ControlError> {
        let from = Section::new("", table);
        from.only(&["enis", "ipv4_per_eni", "ipv6_per_eni"])?;
        let Some(now) = self.cloud().limits_of(id) else { return found("instance", id.as_str(), false) };
        // Beyond these, sums of addresses would not be those of any instance.
        let most = 1_000;
        let limits = InstanceLimits::new(
            from.count_u32("enis", 1..=most)?.unwrap_or(now.eni_quantity),
            from.count_u32("ipv4_per_eni", 1..=most)?.unwrap_or(now.eni_private_ip_address_quantity),
            from.count_u32("ipv6_per_eni", 0..=most)?.unwrap_or(now.eni_ipv6_address_quantity),
        );
        found("instance", id.as_str(), self.cloud().limit_change(id, limits))
    }

    fn detach(&self, id: &EniId) -> Result<Done, ControlError> {
        if self.cloud().out_of_band_detach(id) {
            return Ok(told(json!({})));
        }
        match self.cloud().eni(id) {
            Some(eni) => Err(ControlError::State {
                eni: id.clone(),
                state: eni.status,
                allowed: "a secondary ENI that is InUse",
            }),
            None => found("ENI", id.as_str(), false),
        }
    }

    fn exhaust(&self, id: &VSwitchId, table: &toml::Table) -> Result<Done, ControlError> {
        let from = Section::new("", table);
        from.only(&["leave"])?;
        let leave = from.count_u32("leave", 0..=u32::MAX)?.unwrap_or(0);
        found("vSwitch", id.as_str(), self.cloud().exhaust_vswitch(id, leave))
    }
}

fn found(what: &'static str, id: &str, found: bool) -> Result<Done, ControlError> {
    if found { Ok(told(json!({}))) } else { Err(ControlError::NotFound { what, id: id.to_owned() }) }
}

/// The body as a table of fields; an empty one has none.
fn fields(request: &Request<Bytes>) -> Result<toml::Table, ControlError> {
    let body: &[u8] = request.body();
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(toml::Table::new());
    }
    match error::json(body)? {
        toml::Value::Table(table) => Ok(table),
        _ => Err(ControlError::NotJson("an object is expected".to_owned())),
    }
}
