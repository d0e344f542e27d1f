//! Transitions that take time: attaching, detaching, deleting, and when the guest sees a NIC.
//!
//! Each transition is a task of the world. It carries the ENI's epoch, so that whatever happened to
//! the ENI meanwhile makes it do nothing.

use std::{sync::Arc, time::Duration};

use rand_chacha::ChaCha8Rng;
use terway_core::{
    cloud::{Action, Eni, EniStatus},
    id::{EniId, InstanceId},
};
use tokio::time::{Instant, sleep};

use super::{
    FakeCloud,
    draws::unit,
    model::{CloudModel, Span},
    observer::{EniEvent, News, Removal},
    world::{Effect, World},
};
use crate::time;

/// A transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Attach,
    Detach,
    Delete,
}

impl Step {
    /// The action that begins it.
    pub(super) fn action(self) -> Action {
        match self {
            Self::Attach => Action::AttachNetworkInterface,
            Self::Detach => Action::DetachNetworkInterface,
            Self::Delete => Action::DeleteNetworkInterface,
        }
    }

    /// The state of the ENI meanwhile.
    pub(super) fn status(self) -> EniStatus {
        match self {
            Self::Attach => EniStatus::Attaching,
            Self::Detach => EniStatus::Detaching,
            Self::Delete => EniStatus::Deleting,
        }
    }
}

/// A transition under way.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    eni: EniId,
    epoch: u64,
    step: Step,
    caller: Option<InstanceId>,
    /// From the call to the end.
    settles: Duration,
    /// When the guest sees the change: before the end by this, or after it.
    guest: GuestOffset,
    /// Decides whether it gets stuck.
    chance: f64,
    /// From the end of being stuck to the end.
    resumes: Duration,
    /// Nothing holds it: it was asked for twice.
    forced: bool,
}

#[derive(Clone, Copy, Debug)]
enum GuestOffset {
    Before(Duration),
    After(Duration),
}

impl GuestOffset {
    fn draw(step: Step, settles: Duration, model: &CloudModel, rng: &mut ChaCha8Rng) -> Self {
        let share = unit(rng);
        if step != Step::Attach {
            return Self::Before(settles.mul_f64(share));
        }
        let (early, late) = (model.nic_early_ms as f64, model.nic_late_ms as f64);
        let offset = share * (early + late) - early;
        let length = Duration::from_micros((offset.abs() * 1000.0) as u64);
        if offset < 0.0 { Self::Before(length.min(settles)) } else { Self::After(length) }
    }
}

impl World {
    /// Begins a transition of a living ENI.
    pub(super) fn begin(
        &mut self,
        eni: &EniId,
        step: Step,
        caller: Option<InstanceId>,
        forced: bool,
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) {
        let settles = match step {
            Step::Attach => self.model.attach_settles,
            Step::Detach => self.model.detach_settles,
            Step::Delete => self.model.delete_settles,
        }
        .draw(rng);
        let guest = GuestOffset::draw(step, settles, &self.model, rng);
        let (chance, resumes) = (unit(rng), Span::new(1, 500).draw(rng));
        let record = self.enis.get_mut(eni).expect("the caller has just found it");
        record.epoch += 1;
        record.held = false;
        let epoch = record.epoch;
        let timer = Timer { eni: eni.clone(), epoch, step, caller, settles, guest, chance, resumes, forced };
        self.effects.push(Effect::Start(timer));
        if self.live(eni).is_some_and(|eni| eni.status != step.status()) {
            let changed = self.change(eni, now, |eni| eni.status = step.status());
            let event = match step {
                Step::Attach => EniEvent::Attaching,
                Step::Detach => EniEvent::Detaching,
                Step::Delete => EniEvent::Deleting,
            };
            self.tell_eni(&changed, event);
        }
    }

    /// The ENI, if the timer is still about it.
    fn due(&self, timer: &Timer) -> Option<&Arc<Eni>> {
        let record = self.enis.get(&timer.eni).filter(|record| record.epoch == timer.epoch)?;
        record.live.as_ref()
    }

    /// Until when a fault holds the transition, if one does.
    fn hold(&mut self, timer: &Timer, now: Instant) -> Option<Instant> {
        self.due(timer).filter(|_| !timer.forced)?;
        let until = self.faults.stuck(timer.step.action(), timer.caller.as_ref(), now, timer.chance);
        let record = self.enis.get_mut(&timer.eni)?;
        if until.is_some() && !record.held {
            *self.faults.met.entry("stuck-state").or_default() += 1;
        }
        record.held = until.is_some();
        until
    }

    fn settle(&mut self, timer: &Timer, now: Instant) {
        if self.due(timer).is_none_or(|eni| eni.status != timer.step.status()) {
            return;
        }
        match timer.step {
            Step::Attach => {
                let eni = self.change(&timer.eni, now, |eni| eni.status = EniStatus::InUse);
                self.tell_eni(&eni, EniEvent::Attached);
            }
            Step::Detach => {
                self.nic_vanishes(&timer.eni);
                self.detached(&timer.eni, now);
            }
            Step::Delete => {
                let why = self.enis.get(&timer.eni).map(|record| record.doomed_by.clone());
                self.end_eni(&timer.eni, why.unwrap_or(Removal::OutOfBand), now);
            }
        }
    }

    /// The ENI is `Available` and belongs to no instance.
    pub(super) fn detached(&mut self, id: &EniId, now: Instant) {
        let Some(before) = self.live(id).cloned() else { return };
        self.leave_instance(&before);
        self.change(id, now, |eni| {
            eni.status = EniStatus::Available;
            eni.instance = None;
        });
        self.tell_eni(&before, EniEvent::Detached);
    }

    fn guest_changes(&mut self, timer: &Timer, now: Instant) {
        let Some(eni) = self.due(timer).cloned() else { return };
        match timer.step {
            Step::Attach => {
                // Whoever is held does not get half-way to the guest either.
                let held = eni.status == EniStatus::Attaching && self.hold(timer, now).is_some();
                let record = self.enis.get_mut(&timer.eni).expect("found above");
                if record.nic.is_none() && !held {
                    record.nic.clone_from(&eni.instance);
                    if let Some(instance) = eni.instance.clone() {
                        self.tell(News::NicAppeared(instance, eni.mac));
                    }
                }
            }
            Step::Detach => self.nic_vanishes(&timer.eni),
            Step::Delete => {}
        }
    }
}

impl FakeCloud {
    /// Carries a transition to its end.
    pub(super) async fn run(self: Arc<Self>, timer: Timer) {
        let settled = time::now() + timer.settles;
        if let GuestOffset::Before(early) = timer.guest {
            time::sleep_until(settled - early).await;
            self.with(|world, now| world.guest_changes(&timer, now));
        }
        time::sleep_until(settled).await;
        loop {
            let healed = self.healed.notified();
            let Some(until) = self.with(|world, now| world.hold(&timer, now)) else { break };
            // Biased: healing and the end of the window lead to the same, healing is looked at first.
            tokio::select! {
                biased;
                () = healed => {}
                () = time::sleep_until(until) => {}
            }
            sleep(timer.resumes).await;
        }
        self.with(|world, now| world.settle(&timer, now));
        if timer.step == Step::Attach {
            if let GuestOffset::After(late) = timer.guest {
                sleep(late).await;
            }
            self.with(|world, now| world.guest_changes(&timer, now));
        }
    }
}
