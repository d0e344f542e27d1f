//! What survives the agent: ENIs, allocations, cooling addresses and open intents, in redb.
//!
//! Memory runs ahead of the disk, never beside it: a change is submitted in the same breath as it
//! is made in memory (under the pool's lock), writes are applied in the order submitted, and no one
//! outside is told before the [`Ticket`] says that the change is durable. So the disk always holds a
//! prefix of what memory went through, and a crash loses only what nobody was told.
//!
//! - [`record`]: what is stored, as types.
//! - [`disk`]: the port below redb.
//! - [`writer`]: groups concurrent changes into one commit.

pub mod disk;
pub mod record;
mod writer;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    disk::Disk,
    record::{Allocation, Cooling, EniPhase, EniRecord, Intent, Meta, Stored, Write},
    writer::{Store, StoreStopped, Ticket},
};

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

const META: Table = TableDefinition::new("meta");
const ENIS: Table = TableDefinition::new("enis");
const ALLOCATIONS: Table = TableDefinition::new("allocations");
const COOLING: Table = TableDefinition::new("cooling");
const INTENTS: Table = TableDefinition::new("intents");

const META_KEY: &str = "node";

/// Bytes of pages that redb may keep in memory. The whole store of a full node is below 1 MiB.
const CACHE_BYTES: usize = 256 * 1024;

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
    let rows = |table| match read.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(io("read")(error.into())),
    };
    stored.meta = collect::<Meta>(rows(META)?)?.pop();
    stored.enis = collect(rows(ENIS)?)?;
    stored.allocations = collect(rows(ALLOCATIONS)?)?;
    stored.cooling = collect(rows(COOLING)?)?;
    stored.intents = collect(rows(INTENTS)?)?;
    Ok(stored)
}

fn collect<T: DeserializeOwned>(
    table: Option<redb::ReadOnlyTable<&'static str, &'static [u8]>>,
) -> Result<Vec<T>, StoreError> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for row in table.iter().map_err(|error| io("read")(error.into()))? {
        let (key, value) = row.map_err(|error| io("read")(error.into()))?;
        rows.push(serde_json::from_slice(value.value()).map_err(|error| StoreError::Corrupt {
            detail: format!("row `{}` cannot be read: {error}", key.value()),
        })?);
    }
    Ok(rows)
}

/// Applies writes in one durable transaction.
fn commit(database: &Database, writes: &[Write]) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(|error| io("begin a write to")(error.into()))?;
    apply(&transaction, writes)?;
    transaction.commit().map_err(|error| io("commit to")(error.into()))
}

fn apply(transaction: &WriteTransaction, writes: &[Write]) -> Result<(), StoreError> {
    for write in writes {
        match write {
            Write::Meta(meta) => put(transaction, META, META_KEY, meta),
            Write::PutEni(eni) => put(transaction, ENIS, eni.id.as_str(), eni),
            Write::DropEni(id) => drop_row(transaction, ENIS, id.as_str()),
            Write::PutAllocation(allocation) => put(transaction, ALLOCATIONS, &allocation.key(), allocation),
            Write::DropAllocation(key) => drop_row(transaction, ALLOCATIONS, key),
            Write::PutCooling(cooling) => put(transaction, COOLING, &cooling.ips.v4.to_string(), cooling),
            Write::DropCooling(ip) => drop_row(transaction, COOLING, &ip.to_string()),
            Write::PutIntent(intent) => put(transaction, INTENTS, intent.token().as_str(), intent),
            Write::DropIntent(token) => drop_row(transaction, INTENTS, token.as_str()),
        }?;
    }
    Ok(())
}

fn put(
    transaction: &WriteTransaction,
    table: Table,
    key: &str,
    row: &impl Serialize,
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(row).expect("records are plain data with text keys");
    let mut table = transaction.open_table(table).map_err(|error| io("write to")(error.into()))?;
    table.insert(key, bytes.as_slice()).map_err(|error| io("write to")(error.into()))?;
    Ok(())
}

fn drop_row(transaction: &WriteTransaction, table: Table, key: &str) -> Result<(), StoreError> {
    let mut table = transaction.open_table(table).map_err(|error| io("write to")(error.into()))?;
    table.remove(key).map_err(|error| io("write to")(error.into()))?;
    Ok(())
}

#[cfg(test)]
mod tests;
