//! Whole maps.

use crate::{
    error::Error,
    sys::Batch,
    table::{Layout, Table, failed},
};

/// Entries that are read with one call.
const ROOM: usize = 1024;

/// A key with its value.
pub(super) type Entry<L> = (<L as Layout>::Key, <L as Layout>::Value);

impl<L: Layout> Table<L> {
    /// Shows every entry with its values, of one processor after the other.
    pub(super) fn each(&self, mut show: impl FnMut(&L::Key, &[L::Value])) -> Result<(), Error> {
        let raw = self.raw();
        let mut batch = Batch::new(raw, ROOM.min(self.entries() as usize).max(1));
        let (mut first, mut values) = (true, Vec::new());
        loop {
            let more = match batch.read(raw) {
                Ok(more) => more,
                // Longest-prefix maps of older kernels.
                Err(_) if first => return self.each_by_key(show),
                Err(error) => return Err(failed::<L>("read")(error)),
            };
            first = false;
            let keys = batch.keys.chunks_exact(raw.key);
            for (key, all) in keys.zip(batch.values.chunks_exact(raw.value)).take(batch.count) {
                values.clear();
                values.extend(all.chunks_exact(Self::stride()).map(Self::value));
                show(&bytemuck::pod_read_unaligned(key), &values);
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn value(bytes: &[u8]) -> L::Value {
        bytemuck::pod_read_unaligned(&bytes[..size_of::<L::Value>()])
    }

    fn each_by_key(&self, mut show: impl FnMut(&L::Key, &[L::Value])) -> Result<(), Error> {
        for key in self.keys()? {
            // One that has gone meanwhile is none.
            if let Some(values) = self.get_all(&key)? {
                show(&key, &values);
            }
        }
        Ok(())
    }

    /// All entries of a map with one value each.
    pub(super) fn all(&self) -> Result<Vec<Entry<L>>, Error> {
        let mut entries = Vec::new();
        self.each(|key, values| entries.extend(values.first().map(|value| (*key, *value))))?;
        Ok(entries)
    }
}
