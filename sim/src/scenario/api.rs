//! `[api]`: the parameters of the modelled API server.

use std::time::Duration;

use terway_chaos::InputError;

use super::section::{Section, as_duration};
use crate::apiserver::ApiModel;

const KEYS: &[&str] = &[
    "request_base",
    "request_jitter",
    "event_base",
    "event_jitter",
    "bookmark_period",
    "history_age",
    "history_events",
    "watch_queue",
    "watch_timeout",
    "gone_as_status",
    "client_retries",
];

pub(super) fn read(from: Option<&Section<'_>>) -> Result<ApiModel, InputError> {
    let mut model = ApiModel::default();
    let Some(from) = from else { return Ok(model) };
    from.only(KEYS)?;
    for (key, time) in [
        ("request_base", &mut model.request_base),
        ("request_jitter", &mut model.request_jitter),
        ("event_base", &mut model.event_base),
        ("event_jitter", &mut model.event_jitter),
    ] {
        *time = from.duration(key)?.unwrap_or(*time);
    }
    model.history_age = from.span("history_age")?.unwrap_or(model.history_age);
    model.watch_timeout = from.span("watch_timeout")?.unwrap_or(model.watch_timeout);
    if from.get("bookmark_period").is_some() {
        model.bookmark_period = bookmarks(from)?;
    }
    for (key, count) in
        [("history_events", &mut model.history_events), ("watch_queue", &mut model.watch_queue)]
    {
        *count = from.count_u32(key, 1..=u32::MAX)?.map_or(*count, |n| n as usize);
    }
    model.gone_as_status = from.flag("gone_as_status")?.unwrap_or(model.gone_as_status);
    model.client_retries = from.flag("client_retries")?.unwrap_or(model.client_retries);
    Ok(model)
}

/// The period that is written, or none for the word.
fn bookmarks(from: &Section<'_>) -> Result<Option<Duration>, InputError> {
    if from.get("bookmark_period").and_then(toml::Value::as_str) == Some("never") {
        return Ok(None);
    }
    from.read("bookmark_period", "a duration above zero, or \"never\"", |value| {
        as_duration(value).filter(|period| !period.is_zero())
    })
}
