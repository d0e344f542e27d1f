//! A store with its writing task, on a file or in memory.

use std::{io, sync::Arc};

use redb::{Builder, Database, DatabaseError, backends::InMemoryBackend};
use tempfile::TempDir;
use terway_agent::store::{self, Allocation, Disk, Store, Ticket, Write, disk::FileDisk};
use terway_core::{
    address::PodIps,
    id::PodKey,
    probe::NoProbe,
    spawn::{Spawner, Task},
};

/// A device that is only memory: what a commit costs without the disk.
#[derive(Clone, Copy, Debug)]
struct Memory;

impl Disk for Memory {
    fn open(&self, builder: Builder) -> Result<Database, DatabaseError> {
        builder.create_with_backend(InMemoryBackend::new())
    }

    fn set_aside(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Tasks on the current runtime. Blocking work runs in place: nothing else has to be served meanwhile.
struct InPlace;

impl Spawner for InPlace {
    #[expect(clippy::disallowed_methods, reason = "a bench has no node that could crash")]
    fn spawn(&self, _name: &'static str, task: Task) {
        drop(tokio::spawn(task));
    }

    fn block(&self, _name: &'static str, work: Box<dyn FnOnce() + Send + 'static>) -> Task {
        Box::pin(async move { work() })
    }
}

/// A store, the runtime of its task, and the folder it is in.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    store: Store,
    serial: u32,
    _folder: Option<TempDir>,
}

impl Bench {
    /// On a file in the folder for temporary files, with an fsync for each commit.
    pub fn on_file() -> Self {
        let folder = TempDir::new().expect("the folder for temporary files can be written to");
        let disk = FileDisk::new(folder.path().join("store.redb"));
        Self::new(&disk, Some(folder))
    }

    /// In memory.
    pub fn in_memory() -> Self {
        Self::new(&Memory, None)
    }

    fn new(disk: &dyn Disk, folder: Option<TempDir>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        let database = store::open(disk).expect("an empty device can be opened");
        let spawner: Arc<dyn Spawner> = Arc::new(InPlace);
        let store = runtime.block_on(async { Store::start(database, &spawner, Arc::new(NoProbe)) });
        Self { runtime, store, serial: 0, _folder: folder }
    }

    /// Records so many allocations at once and waits until each is durable.
    pub fn allocate(&mut self, together: u32) {
        let tickets: Vec<Ticket> = (0..together)
            .map(|_| {
                // A full node's worth of rows, written over and over.
                self.serial = (self.serial + 1) % 450;
                self.store.submit(vec![Write::PutAllocation(allocation(self.serial))])
            })
            .collect();
        self.runtime.block_on(async {
            for ticket in tickets {
                ticket.durable().await.expect("the store runs");
            }
        });
    }
}

fn allocation(serial: u32) -> Allocation {
    Allocation {
        container: Some(format!("{serial:064x}").into()),
        ifname: "eth0".into(),
        pod: PodKey::new("default", format!("web-7d4b9c6f5d-{serial:05}")),
        uid: format!("0b6f3c1e-9d55-4c5e-8f2a-{serial:012}").into(),
        ips: PodIps { v4: (0x0a00_0000 + serial).into(), v6: None },
        eni: "eni-bp1abcdefgh".into(),
        network: "terway".into(),
        bandwidth: terway_core::host::Bandwidth::default(),
        link: 0,
        made: Some(terway_agent::store::Moment {
            boot_id: 0x0123_4567_89ab_cdef,
            ms: 86_400_000 + u64::from(serial),
        }),
    }
}
