//! Settings below `/proc/sys`, those of the calling thread's namespace. Written only when they differ.

use std::{collections::BTreeMap, fs, io};

use crate::op::sysctl_link;

/// A setting's value; none when there is no such setting.
pub(crate) fn read(key: &str) -> io::Result<Option<u32>> {
    match fs::read_to_string(path(key)) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{key} holds `{}`, not a number", text.trim()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The values of those settings that there are.
pub(crate) fn read_all<'a>(keys: impl IntoIterator<Item = &'a String>) -> io::Result<BTreeMap<String, u32>> {
    let mut values = BTreeMap::new();
    for key in keys {
        values.extend(read(key)?.map(|value| (key.clone(), value)));
    }
    Ok(values)
}

/// Gives a setting a value; returns the one that it had, if it was another. A link's setting that is not there is
/// no error: the link may have gone, or its family may be off.
pub(crate) fn write(key: &str, value: u32) -> io::Result<Option<u32>> {
    match read(key)? {
        Some(found) if found == value => Ok(None),
        Some(found) => fs::write(path(key), value.to_string()).map(|()| Some(found)),
        None if sysctl_link(key).is_some() => Ok(None),
        None => Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path(key)))),
    }
}

fn path(key: &str) -> String {
    format!("/proc/sys/{key}")
}
