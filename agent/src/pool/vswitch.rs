//! The vSwitches of the node's zone, and which of them are set aside because they are full.

use std::{collections::BTreeMap, time::Duration};

use terway_core::{
    config::VSwitchSelection,
    id::{VSwitchId, ZoneId},
};

use super::Mono;

/// First wait before a full vSwitch is tried again; doubled each time it is still full.
pub(super) const PROBE_AFTER: Duration = Duration::from_secs(15);
/// Longest wait before a full vSwitch is tried again.
pub(super) const PROBE_AT_MOST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct SetAside {
    until: Mono,
    wait: Duration,
    probing: bool,
}

/// vSwitches of one zone.
#[derive(Clone, Debug)]
pub struct VSwitches {
    zone: ZoneId,
    ids: Vec<VSwitchId>,
    selection: VSwitchSelection,
    set_aside: BTreeMap<VSwitchId, SetAside>,
}

impl VSwitches {
    /// The configured vSwitches of a zone.
    pub fn new(zone: ZoneId, ids: Vec<VSwitchId>, selection: VSwitchSelection) -> Self {
        Self { zone, ids, selection, set_aside: BTreeMap::new() }
    }

    /// The zone.
    pub fn zone(&self) -> &ZoneId {
        &self.zone
    }

    /// All of them.
    pub fn ids(&self) -> &[VSwitchId] {
        &self.ids
    }

    /// Replaces the list after a configuration change. A new vSwitch is usable at once.
    pub fn replace(&mut self, ids: Vec<VSwitchId>) {
        self.set_aside.retain(|id, _| ids.contains(id));
        self.ids = ids;
    }

    /// Whether addresses may be asked for here now. A vSwitch whose wait is over admits one probe.
    pub fn open(&self, id: &VSwitchId, now: Mono) -> bool {
        self.set_aside.get(id).is_none_or(|aside| aside.until <= now && !aside.probing)
    }

    /// Whether there is reason to think that it has addresses: it was never full, or its wait is over for so long
    /// that nobody seems to need to know.
    pub fn hopeful(&self, id: &VSwitchId, now: Mono, patience: Duration) -> bool {
        self.set_aside.get(id).is_none_or(|aside| aside.until + patience <= now)
    }

    /// Picks an open one; `random` decides under the random policy.
    pub fn pick(&self, now: Mono, random: u64) -> Option<&VSwitchId> {
        let open: Vec<&VSwitchId> = self.ids.iter().filter(|id| self.open(id, now)).collect();
        match self.selection {
            VSwitchSelection::Ordered => open.first().copied(),
            VSwitchSelection::Random if open.is_empty() => None,
            VSwitchSelection::Random => Some(open[(random % open.len() as u64) as usize]),
        }
    }

    /// When the next wait of one that is set aside ends. One whose wait is over may be tried already,
    /// and must not hide those that follow.
    pub fn next_probe(&self, now: Mono) -> Option<Mono> {
        let waiting = self.set_aside.values().filter(|aside| !aside.probing && aside.until > now);
        waiting.map(|aside| aside.until).min()
    }

    /// Whether any is set aside.
    pub fn any_set_aside(&self) -> bool {
        !self.set_aside.is_empty()
    }

    /// A call to it begins; if it was set aside, this call is its probe.
    pub fn begin(&mut self, id: &VSwitchId) {
        if let Some(aside) = self.set_aside.get_mut(id) {
            aside.probing = true;
        }
    }

    /// It is full.
    pub fn exhausted(&mut self, id: &VSwitchId, now: Mono) {
        let wait = self.set_aside.get(id).map_or(PROBE_AFTER, |aside| {
            // Several calls may have been under way when it filled up: they count once.
            if aside.probing { (aside.wait * 2).min(PROBE_AT_MOST) } else { aside.wait }
        });
        self.set_aside.insert(id.clone(), SetAside { until: now + wait, wait, probing: false });
    }

    /// It gave addresses. True when it had been set aside.
    pub fn gave(&mut self, id: &VSwitchId) -> bool {
        self.set_aside.remove(id).is_some()
    }

    /// A call ended without telling whether it is full.
    pub fn ended(&mut self, id: &VSwitchId) {
        if let Some(aside) = self.set_aside.get_mut(id) {
            aside.probing = false;
        }
    }
}
