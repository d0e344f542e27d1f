//! The disk under an agent's store: what is synced survives a crash, what is not survives in part.
//!
//! Pages are kept sparsely, since a store is mostly zeros. A crash keeps a seeded subset of the
//! unsynced writes and may tear one of them at a sector boundary.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rand_chacha::ChaCha8Rng;
use redb::{Builder, Database, DatabaseError, StorageBackend};
use terway_agent::store::Disk;
use terway_chaos::draw;

use crate::scope::Scope;

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// What a crash does to writes that were not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashFaults {
    /// Each unsynced write is lost or kept by a draw; otherwise all are kept, as on a machine whose
    /// kernel lives on.
    pub lose_unsynced: bool,
    /// One of the kept writes is torn at a sector boundary.
    pub tear: bool,
}

#[derive(Default)]
struct Image {
    len: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Image {
    fn read(&self, offset: u64, out: &mut [u8]) {
        let mut at = offset;
        let mut out = out;
        while !out.is_empty() {
            let (page, start) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let n = out.len().min(PAGE - start);
            let (head, tail) = out.split_at_mut(n);
            match self.pages.get(&page) {
                Some(bytes) => head.copy_from_slice(&bytes[start..start + n]),
                None => head.fill(0),
            }
            out = tail;
            at += n as u64;
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let mut at = offset;
        let mut data = data;
        while !data.is_empty() {
            let (page, start) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let n = data.len().min(PAGE - start);
            let (head, tail) = data.split_at(n);
            if let Some(bytes) = self.pages.get_mut(&page) {
                bytes[start..start + n].copy_from_slice(head);
            } else if head.iter().any(|byte| *byte != 0) {
                let mut bytes = Box::new([0; PAGE]);
                bytes[start..start + n].copy_from_slice(head);
                self.pages.insert(page, bytes);
            }
            data = tail;
            at += n as u64;
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            let whole = len.div_ceil(PAGE as u64);
            self.pages.retain(|page, _| *page < whole);
            let rest = (len % PAGE as u64) as usize;
            if rest > 0
                && let Some(bytes) = self.pages.get_mut(&(len / PAGE as u64))
            {
                bytes[rest..].fill(0);
            }
        }
        self.len = len;
    }
}

#[derive(Clone)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

struct State {
    /// What is on the medium.
    synced: Image,
    /// What the running system sees.
    current: Image,
    /// The way from the one to the other, in order.
    unsynced: Vec<Op>,
    rng: ChaCha8Rng,
    /// Generation of the opened device: writes through an older one are of a dead process.
    generation: u64,
    scope: Weak<Scope>,
    /// Crash in the middle of a commit: after so many more writes.
    crash_after_writes: Option<u32>,
    error_probability: f64,
    /// The content was lost or damaged at some time.
    lost: bool,
}

/// A disk of one node.
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, node: &str) -> Arc<Self> {
        Arc::new(Self {
            state: Arc::new(Mutex::new(State {
                synced: Image::default(),
                current: Image::default(),
                unsynced: Vec::new(),
                rng: draw::stream(seed, "disk", node),
                generation: 0,
                scope: Weak::new(),
                crash_after_writes: None,
                error_probability: 0.0,
                lost: false,
            })),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process that wrote is dead; `faults` says what its unsynced writes become.
    pub fn crash(&self, faults: CrashFaults) {
        let mut state = self.state();
        state.generation += 1;
        state.crash_after_writes = None;
        let ops = std::mem::take(&mut state.unsynced);
        let torn = if faults.tear && !ops.is_empty() {
            Some(draw::between(&mut state.rng, 0, ops.len() as u64 - 1) as usize)
        } else {
            None
        };
        for (index, op) in ops.into_iter().enumerate() {
            let lost = faults.lose_unsynced && draw::unit(&mut state.rng) < 0.5;
            match op {
                _ if lost => {}
                Op::SetLen(len) => state.synced.set_len(len),
                Op::Write(offset, data) => {
                    let mut end = data.len();
                    if torn == Some(index) {
                        let sectors = (data.len() / SECTOR) as u64;
                        end = SECTOR * draw::between(&mut state.rng, 0, sectors) as usize;
                    }
                    state.synced.write(offset, &data[..end.min(data.len())]);
                }
            }
        }
        let State { synced, current, .. } = &mut *state;
        current.len = synced.len;
        current.pages.clone_from(&synced.pages);
    }

    /// The content is gone.
    pub fn wipe(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.unsynced.clear();
        state.lost = true;
        (state.synced, state.current) = (Image::default(), Image::default());
    }

    /// A page reads back wrong from now on. False when there is nothing to damage.
    pub fn corrupt(&self) -> bool {
        let mut state = self.state();
        let pages: Vec<u64> = state.synced.pages.keys().copied().collect();
        if pages.is_empty() {
            return false;
        }
        let page = pages[draw::between(&mut state.rng, 0, pages.len() as u64 - 1) as usize];
        let at = draw::between(&mut state.rng, 0, PAGE as u64 - 1) as usize;
        let State { synced, current, .. } = &mut *state;
        for image in [synced, current] {
            if let Some(bytes) = image.pages.get_mut(&page) {
                bytes[at] ^= 0x55;
            }
        }
        true
    }

    /// The scope that dies when [`crash_in_commit`](Self::crash_in_commit) strikes.
    pub fn owned_by(&self, scope: &Arc<Scope>) {
        self.state().scope = Arc::downgrade(scope);
    }

    /// The writing process dies in the middle of its next commit, after so many writes.
    pub fn crash_in_commit(&self, writes: u32) {
        self.state().crash_after_writes = Some(writes);
    }

    /// Reads and writes fail with this probability.
    pub fn set_errors(&self, probability: f64) {
        self.state().error_probability = probability;
    }

    /// Whether the content was lost or damaged at some time: what the agent knew is then gone.
    pub fn was_lost(&self) -> bool {
        self.state().lost
    }
}

impl Disk for SimDisk {
    fn open(&self, builder: Builder) -> Result<Database, DatabaseError> {
        let generation = {
            let mut state = self.state();
            state.generation += 1;
            state.generation
        };
        builder.create_with_backend(Device { state: self.state.clone(), generation })
    }

    fn set_aside(&self) -> io::Result<()> {
        self.wipe();
        Ok(())
    }
}

/// The disk as one process has it open.
struct Device {
    state: Arc<Mutex<State>>,
    generation: u64,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({})", self.generation)
    }
}

impl Device {
    /// The state, if this process is still the one that has the disk, and the disk is in a good mood.
    fn access(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation != self.generation {
            return Err(io::Error::other("the process that opened this device is dead"));
        }
        let probability = state.error_probability;
        if probability > 0.0 && draw::unit(&mut state.rng) < probability {
            return Err(io::Error::other("input/output error"));
        }
        Ok(state)
    }

    fn change(&self, op: Op) -> io::Result<()> {
        let mut state = self.access()?;
        if let Some(left) = &mut state.crash_after_writes {
            if *left == 0 {
                if let Some(scope) = state.scope.upgrade() {
                    scope.kill();
                }
                state.generation += 1;
                return Err(io::Error::other("the process died in the middle of a commit"));
            }
            *left -= 1;
        }
        match &op {
            Op::Write(offset, data) => state.current.write(*offset, data),
            Op::SetLen(len) => state.current.set_len(*len),
        }
        state.unsynced.push(op);
        Ok(())
    }
}

impl StorageBackend for Device {
    fn len(&self) -> io::Result<u64> {
        Ok(self.access()?.current.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.access()?;
        if offset + out.len() as u64 > state.current.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.current.read(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.access()?;
        for op in std::mem::take(&mut state.unsynced) {
            match op {
                Op::Write(offset, data) => state.synced.write(offset, &data),
                Op::SetLen(len) => state.synced.set_len(len),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Op::Write(offset, data.to_vec()))
    }
}
