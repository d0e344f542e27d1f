//! `[[event]]`: changes of the cluster at fixed times.

use std::time::Duration;

use terway_chaos::{InputError, near};

use super::{Event, EventKind, cluster, section::Section};

const KINDS: [&str; 3] = ["add-vswitch", "rolling-restart", "autoscale"];
/// Nodes that one event may touch.
const MOST_NODES: u32 = 50_000;
/// Times that one entry may repeat: a guard against `every = "1ms"`.
const MOST_REPEATS: usize = 10_000;

/// All events in order of time; `duration` is where repetition ends when nothing is said.
pub(super) fn read(root: &Section<'_>, duration: Duration) -> Result<Vec<Event>, InputError> {
    let mut events = Vec::new();
    for entry in root.sections("event")? {
        events.extend(read_entry(&entry, duration)?);
    }
    events.sort_by_key(|event: &Event| event.at);
    Ok(events)
}

fn read_entry(from: &Section<'_>, duration: Duration) -> Result<Vec<Event>, InputError> {
    let kinds = KINDS.join(", ");
    let kind = from.text("kind")?.ok_or_else(|| from.missing("kind", kinds.clone()))?;
    let keys: &[&str] = match kind {
        "add-vswitch" => &["at", "kind", "id", "zone", "cidr", "ipv6"],
        "rolling-restart" => &["at", "kind", "batch", "pause"],
        "autoscale" => &["at", "kind", "remove", "add", "every", "until"],
        other => return Err(from.wrong_near("kind", kinds, near::nearest(other, KINDS))),
    };
    from.only(keys)?;
    let at = from.duration("at")?.ok_or_else(|| from.missing("at", "a duration, such as 12m"))?;
    let kind = match kind {
        "add-vswitch" => EventKind::AddVSwitch(cluster::vswitch(from)?),
        "rolling-restart" => EventKind::RollingRestart {
            batch: from
                .count_u32("batch", 1..=MOST_NODES)?
                .ok_or_else(|| from.missing("batch", "a whole number of agents from 1"))?,
            pause: from.span("pause")?.ok_or_else(|| from.missing("pause", "a duration, such as 1m"))?,
        },
        _ => autoscale(from)?,
    };
    let times = times(from, at, duration)?;
    Ok(times.into_iter().map(|at| Event { at, kind: kind.clone() }).collect())
}

fn autoscale(from: &Section<'_>) -> Result<EventKind, InputError> {
    let remove = from.count_u32("remove", 0..=MOST_NODES)?.unwrap_or(0);
    let add = from.count_u32("add", 0..=MOST_NODES)?.unwrap_or(0);
    if remove == 0 && add == 0 {
        return Err(from.missing("add", "add or remove, a whole number of nodes from 1"));
    }
    Ok(EventKind::Autoscale { remove, add })
}

/// The times of an entry: one, or one each `every` from `at` on, before `until`.
fn times(from: &Section<'_>, at: Duration, duration: Duration) -> Result<Vec<Duration>, InputError> {
    let until = from.duration("until")?;
    let Some(every) = from.span("every")? else {
        return if until.is_some() {
            Err(from.missing("every", "a duration beside until"))
        } else {
            Ok(vec![at])
        };
    };
    let until = until.unwrap_or(duration);
    let count = until.saturating_sub(at).as_nanos().div_ceil(every.as_nanos()) as usize;
    if count > MOST_REPEATS {
        let allowed = format!("so long that the event repeats at most {MOST_REPEATS} times");
        return Err(from.wrong("every", allowed));
    }
    Ok((0..count).map(|index| at + every * index as u32).collect())
}
