//! What survives the agent: ENIs, allocations, cooling addresses and open intents, in redb.
//!
//! Memory runs ahead of the disk, never beside it: a change is submitted in the same breath as it
//! is made in memory (under the pool's lock), writes are applied in the order submitted, and no one
//! outside is told before the [`Ticket`] says that the change is durable. So the disk always holds a
//! prefix of what memory went through, and a crash loses only what nobody was told.
//!
//! - [`record`]: what is stored, as types.
//! - [`disk`]: the port below redb.
//! - `writer`: groups concurrent changes into one commit.

pub mod disk;
pub mod record;
mod writer;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    disk::Disk,
    record::{Allocation, Cooling, EniPhase, EniRecord, Intent, Meta, Moment, Stored, Write},
    writer::{Store, StoreStopped, Ticket},
};

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

/// One table for all records: an ADD and a DEL touch two kinds of record each, and one tree has fewer
/// pages to write and checksum per commit than two.
const RECORDS: Table = TableDefinition::new("records");

/// Kinds of record; the first part of a row's key.
const META: &str = "meta";
const ENI: &str = "eni";
const ALLOCATION: &str = "allocation";
const COOLING: &str = "cooling";
const INTENT: &str = "intent";

/// Bytes of pages that redb may keep in memory. A store is read only when it is opened, so a cache serves
/// nothing but the pages of the commit under way.
const CACHE_BYTES: usize = 48 * 1024;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The device refused; another try may succeed.
    #[error("failed to {step} the agent's store")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What the device said.
        #[source]
        source: Box<redb::Error>,
    },
    /// The content is damaged: it must be rebuilt from cloud, kernel and API server.
    #[error("the agent's store is damaged: {detail}")]
    Corrupt {
        /// What was found.
        detail: String,
    },
}

fn io(step: &'static str) -> impl Fn(redb::Error) -> StoreError {
    move |error| match error {
        redb::Error::Corrupted(detail) => StoreError::Corrupt { detail },
        redb::Error::UpgradeRequired(version) => {
            StoreError::Corrupt { detail: format!("unknown file format {version}") }
        }
        source => StoreError::Io { step, source: Box::new(source) },
    }
}

/// Opens the database of a device, making it when the device is empty.
pub fn open(disk: &dyn Disk) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    disk.open(builder).map_err(|error| io("open")(error.into()))
}

/// Reads everything.
pub fn load(database: &Database) -> Result<Stored, StoreError> {
    let read = database.begin_read().map_err(|error| io("read")(error.into()))?;
    let mut stored = Stored::default();
    let table = match read.open_table(RECORDS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(stored),
        Err(error) => return Err(io("read")(error.into())),
    };
    for row in table.iter().map_err(|error| io("read")(error.into()))? {
        let (key, value) = row.map_err(|error| io("read")(error.into()))?;
        let (key, value) = (key.value(), value.value());
        match key.split('/').next() {
            Some(META) => stored.meta = Some(read_row(key, value)?),
            Some(ENI) => stored.enis.push(read_row(key, value)?),
            Some(ALLOCATION) => stored.allocations.push(read_row(key, value)?),
            Some(COOLING) => stored.cooling.push(read_row(key, value)?),
            Some(INTENT) => stored.intents.push(read_row(key, value)?),
            _ => return Err(StoreError::Corrupt { detail: format!("row `{key}` is of no known kind") }),
        }
    }
    Ok(stored)
}

fn read_row<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Corrupt { detail: format!("row `{key}` cannot be read: {error}") })
}

/// Applies writes in one durable transaction.
fn commit(database: &Database, writes: &[Write]) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(|error| io("begin a write to")(error.into()))?;
    apply(&transaction, writes)?;
    transaction.commit().map_err(|error| io("commit to")(error.into()))
}

fn apply(transaction: &WriteTransaction, writes: &[Write]) -> Result<(), StoreError> {
    let mut table = transaction.open_table(RECORDS).map_err(|error| io("write to")(error.into()))?;
    for write in writes {
        let (key, record) = match write {
            Write::Meta(meta) => (format!("{META}/"), Some(row(meta))),
            Write::PutEni(eni) => (format!("{ENI}/{}", eni.id), Some(row(eni))),
            Write::DropEni(id) => (format!("{ENI}/{id}"), None),
            Write::PutAllocation(allocation) => {
                (format!("{ALLOCATION}/{}", allocation.key()), Some(row(allocation)))
            }
            Write::DropAllocation(key) => (format!("{ALLOCATION}/{key}"), None),
            Write::PutCooling(cooling) => (format!("{COOLING}/{}", cooling.ips.v4), Some(row(cooling))),
            Write::DropCooling(ip) => (format!("{COOLING}/{ip}"), None),
            Write::PutIntent(intent) => (format!("{INTENT}/{}", intent.token()), Some(row(intent))),
            Write::DropIntent(token) => (format!("{INTENT}/{token}"), None),
        };
        match record {
            Some(record) => table.insert(key.as_str(), record.as_slice()).map(drop),
            None => table.remove(key.as_str()).map(drop),
        }
        .map_err(|error| io("write to")(error.into()))?;
    }
    Ok(())
}

fn row(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records are plain data with text keys")
}

#[cfg(test)]
mod tests;
