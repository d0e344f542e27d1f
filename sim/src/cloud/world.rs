//! What exists in the cloud, with the indexes that keep each call from looking at everything.
//!
//! Nothing here waits or talks: operations change the world and leave effects (news for the observer,
//! timers to start) that are carried out when the lock is free again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::Ipv4Net;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use terway_core::{
    address::AddressSet,
    cloud::{Eni, EniStatus, TAG_CREATOR},
    id::{EniId, InstanceId, InstanceType, Mac, SecurityGroupId, VSwitchId, VpcId, ZoneId},
    limits::InstanceLimits,
};
use tokio::time::Instant;

use super::{
    bucket::Buckets,
    draws,
    eni::{EniRecord, Labels, NewEni, each_address, singles, tagged},
    fate::CloudFaults,
    lifecycle::Timer,
    metadata::MetadataFault,
    model::CloudModel,
    observer::{EniEvent, News, Removal},
    route::{RouteTimer, Routes},
    token::Tokens,
    truth::Counters,
    vswitch::VSwitchPool,
};

/// State of an instance. A released one does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    /// On its way up; ENIs can not be attached or detached.
    Starting,
    /// Up.
    Running,
    /// On its way down; ENIs can not be attached or detached.
    Stopping,
    /// Down; ENIs can be attached and detached.
    Stopped,
}

/// Where everything is: an account has one VPC in one region here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Region.
    pub region: Arc<str>,
    /// VPC.
    pub vpc: VpcId,
}

impl Default for Place {
    fn default() -> Self {
        Self { region: "cn-sim".into(), vpc: "vpc-sim".into() }
    }
}

/// One instance.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) kind: InstanceType,
    pub(super) zone: ZoneId,
    pub(super) limits: InstanceLimits,
    pub(super) state: InstanceState,
    /// Attached, attaching and detaching, the primary NIC included: what counts toward the quota.
    pub(super) enis: BTreeSet<EniId>,
    /// The same and those that left not long ago: what metadata may still tell.
    pub(super) seen: BTreeSet<EniId>,
    pub(super) metadata: MetadataFault,
}

/// What an operation leaves to be done without the lock.
#[derive(Debug)]
pub(super) enum Effect {
    Tell(News),
    Start(Timer),
    Route(RouteTimer),
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) model: CloudModel,
    pub(super) place: Place,
    pub(super) vpc_cidr: Option<Ipv4Net>,
    pub(super) vswitches: BTreeMap<VSwitchId, VSwitchPool>,
    /// Names of the security groups.
    pub(super) groups: BTreeMap<SecurityGroupId, String>,
    pub(super) routes: Routes,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) enis: BTreeMap<EniId, EniRecord>,
    /// ENIs of ours by their instance tag; deleted ones until no read can see them.
    pub(super) by_tag: BTreeMap<InstanceId, BTreeSet<EniId>>,
    /// ENIs of ours, as above.
    pub(super) ours: BTreeSet<EniId>,
    /// Owners of single addresses.
    pub(super) owners: BTreeMap<IpAddr, EniId>,
    /// Owners of prefixes, by first address.
    pub(super) prefix_owners: BTreeMap<Ipv4Addr, EniId>,
    pub(super) tokens: Tokens,
    pub(super) buckets: Buckets,
    pub(super) faults: CloudFaults,
    pub(super) counters: Counters,
    /// Draws of what happens without a call.
    pub(super) rng: ChaCha8Rng,
    pub(super) effects: Vec<Effect>,
    /// Secondary ENIs that exist.
    pub(super) secondary: u32,
    pub(super) serial: u32,
    trims: VecDeque<(Instant, EniId)>,
}

impl World {
    pub(super) fn new(model: CloudModel, seed: u64, now: Instant) -> Self {
        Self {
            tokens: Tokens::new(Duration::from_secs(model.token_retention_s)),
            buckets: Buckets::new(&model, now),
            model,
            place: Place::default(),
            vpc_cidr: None,
            vswitches: BTreeMap::new(),
            groups: BTreeMap::new(),
            routes: Routes::default(),
            instances: BTreeMap::new(),
            enis: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            ours: BTreeSet::new(),
            owners: BTreeMap::new(),
            prefix_owners: BTreeMap::new(),
            faults: CloudFaults::default(),
            counters: Counters::default(),
            rng: draws::stream(seed, "cloud", "out-of-band"),
            effects: Vec::new(),
            secondary: 0,
            serial: 0,
            trims: VecDeque::new(),
        }
    }

    /// The ENI as it is; None when there is none.
    pub(super) fn live(&self, eni: &EniId) -> Option<&Arc<Eni>> {
        self.enis.get(eni)?.live.as_ref()
    }

    /// Block of the VPC: as given, or else the smallest one that holds all vSwitches.
    pub(super) fn vpc_block(&self) -> Ipv4Net {
        let mut blocks = self.vswitches.values().map(|pool| pool.cidr);
        let first = blocks.next().unwrap_or_default();
        self.vpc_cidr.unwrap_or_else(|| {
            blocks.fold(first, |whole, block| {
                std::iter::successors(Some(whole), Ipv4Net::supernet)
                    .find(|wider| wider.contains(&block))
                    .expect("the widest block holds every other")
            })
        })
    }

    pub(super) fn tell(&mut self, news: News) {
        self.effects.push(Effect::Tell(news));
    }

    /// Tells what became of an ENI, with the instance it concerns.
    pub(super) fn tell_eni(&mut self, eni: &Eni, event: EniEvent) {
        let instance = eni.instance.clone().or_else(|| tagged(eni).map(InstanceId::from));
        self.tell(News::Eni(instance, eni.id.clone(), event));
    }

    /// A new ENI with addresses that were taken from its vSwitch already.
    pub(super) fn add_eni(&mut self, new: NewEni, now: Instant) -> Arc<Eni> {
        self.serial += 1;
        let [_, high, middle, low] = self.serial.to_be_bytes();
        let eni = Eni {
            id: EniId::from(format!("eni-{:08x}", self.serial)),
            status: if new.instance.is_some() { EniStatus::InUse } else { EniStatus::Available },
            mac: Mac([0x00, 0x16, 0x3e, high, middle, low]),
            vswitch: new.vswitch,
            instance: new.instance,
            primary: new.addresses.v4[0],
            addresses: new.addresses,
            tags: new.tags,
        };
        self.insert_eni(eni, new.groups, new.primary_nic, now)
    }

    /// An ENI whose addresses were taken from its vSwitch already, with its place in every index.
    pub(super) fn insert_eni(
        &mut self,
        eni: Eni,
        groups: Arc<[SecurityGroupId]>,
        primary_nic: bool,
        now: Instant,
    ) -> Arc<Eni> {
        let eni = Arc::new(eni);
        if eni.tags.iter().any(|(key, value)| (key.as_str(), value.as_str()) == TAG_CREATOR) {
            self.ours.insert(eni.id.clone());
            if let Some(instance) = tagged(&eni) {
                self.by_tag.entry(instance.into()).or_default().insert(eni.id.clone());
            }
        }
        self.own(&eni.id, &eni.addresses);
        self.enis.insert(eni.id.clone(), EniRecord::new(Arc::clone(&eni), groups, primary_nic, now));
        self.trim_later(&eni.id, now);
        eni
    }

    /// Names an ENI that exists.
    pub(super) fn label(&mut self, id: &EniId, labels: Labels) {
        if labels != Labels::default()
            && let Some(record) = self.enis.get_mut(id)
        {
            record.labels = Some(Box::new(labels));
        }
    }

    /// Changes an ENI that exists; reads that lag still see what it was.
    pub(super) fn change(&mut self, id: &EniId, now: Instant, edit: impl FnOnce(&mut Eni)) -> Arc<Eni> {
        let record = self.enis.get_mut(id).expect("the caller has just found it");
        let live = record.live.as_mut().expect("the caller has just found it alive");
        record.past.push_back((now, Some(Arc::clone(live))));
        edit(Arc::make_mut(live));
        let changed = Arc::clone(live);
        self.trim_later(id, now);
        changed
    }

    /// Ends an ENI at once: addresses go back, the guest loses it.
    pub(super) fn end_eni(&mut self, id: &EniId, why: Removal, now: Instant) {
        let Some(record) = self.enis.get_mut(id) else { return };
        let Some(eni) = record.live.take() else { return };
        record.past.push_back((now, Some(Arc::clone(&eni))));
        record.epoch += 1;
        record.held = false;
        let primary_nic = record.primary_nic;
        self.trim_later(id, now);
        self.nic_vanishes(id);
        self.leave_instance(&eni);
        self.disown(&eni.addresses);
        self.vswitches.get_mut(&eni.vswitch).expect("vSwitches stay").give(&eni.addresses);
        if !primary_nic {
            self.secondary -= 1;
            self.counters.enis_deleted += 1;
            self.tell(News::Removed(eni.id.clone(), each_address(&eni.addresses), why));
            self.tell_eni(&eni, EniEvent::Deleted);
        }
    }

    /// Takes an ENI out of what its instance holds.
    pub(super) fn leave_instance(&mut self, eni: &Eni) {
        if let Some(instance) = eni.instance.as_ref().and_then(|id| self.instances.get_mut(id)) {
            instance.enis.remove(&eni.id);
        }
    }

    /// The guest loses the NIC, if it had it.
    pub(super) fn nic_vanishes(&mut self, id: &EniId) {
        let Some(record) = self.enis.get_mut(id) else { return };
        let Some(instance) = record.nic.take() else { return };
        let mac = record.live.as_ref().or_else(|| record.past.back().and_then(|(_, eni)| eni.as_ref()));
        if let Some(mac) = mac.map(|eni| eni.mac) {
            self.tell(News::NicVanished(instance, mac));
        }
    }

    pub(super) fn own(&mut self, eni: &EniId, set: &AddressSet) {
        for ip in singles(set) {
            let before = self.owners.insert(ip, eni.clone());
            debug_assert!(before.is_none(), "{ip} given to {eni} while {before:?} has it");
        }
        for prefix in &set.prefixes {
            self.prefix_owners.insert(prefix.network(), eni.clone());
        }
    }

    pub(super) fn disown(&mut self, set: &AddressSet) {
        for ip in singles(set) {
            self.owners.remove(&ip);
        }
        for prefix in &set.prefixes {
            self.prefix_owners.remove(&prefix.network());
        }
    }

    /// Drops what no read can see any more. Each change queues one trim, so the cost is paid once.
    fn trim_later(&mut self, id: &EniId, now: Instant) {
        self.trims.push_back((now + self.model.history(), id.clone()));
        while self.trims.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((at, id)) = self.trims.pop_front() {
                self.trim(&id, at);
            }
        }
    }

    fn trim(&mut self, id: &EniId, due: Instant) {
        let Some(record) = self.enis.get_mut(id) else { return };
        let horizon = due - self.model.history();
        while record.past.front().is_some_and(|(ended, _)| *ended <= horizon) {
            let ended = record.past.pop_front();
            if !record.past.is_empty() || record.live.is_some() {
                continue;
            }
            self.enis.remove(id);
            self.ours.remove(id);
            let instance = ended.and_then(|(_, eni)| eni).and_then(|eni| tagged(&eni).map(InstanceId::from));
            if let Some(instance) = instance
                && let Some(set) = self.by_tag.get_mut(&instance)
            {
                set.remove(id);
                if set.is_empty() {
                    self.by_tag.remove(&instance);
                }
            }
            return;
        }
    }
}
