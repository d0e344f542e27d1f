//! Settings below `/proc/sys`, those of the calling thread's namespace. Written only when they differ.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
};

use crate::op::sysctl_link;

/// A setting's value; none when there is no such setting.
pub(crate) fn read(key: &str) -> io::Result<Option<u32>> {
    // A number comes whole with one read; there are a dozen settings to look at.
    let mut bytes = [0; 32];
    let length = match File::open(path(key)) {
        Ok(mut file) => file.read(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes[..length]);
    let bad = |_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{key} holds `{}`, not a number", text.trim()))
    };
    text.trim().parse().map(Some).map_err(bad)
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
