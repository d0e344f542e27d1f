//! The `bpf` system call on maps. Thin on purpose: aya's typed maps want a trait of their own for keys and values, and
//! hide which of E2BIG, ENOSPC and ENOMEM a full map answers with.

#![expect(unsafe_code, reason = "a system call with pointers")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const NEXT: libc::c_long = 4;

/// `union bpf_attr` as far as operations on elements use it.
#[repr(C)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// # Safety
///
/// What `element` points to must be as large as the map's key and value, the value writable for `LOOKUP`, `NEXT`.
unsafe fn call(command: libc::c_long, element: &Element) -> io::Result<()> {
    // SAFETY: the union is read as far as the size that is given; the caller answers for the pointers in it.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(element), std::mem::size_of::<Element>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A map with its sizes, as the kernel told them; so no slice of another length is ever handed to it.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) key: usize,
    /// Bytes that a lookup writes: for a map per processor, all of them.
    pub(crate) value: usize,
}

impl Raw<'_> {
    fn element(&self, key: &[u8], value: u64) -> Element {
        assert_eq!(key.len(), self.key, "a key of another length");
        Element { map: self.fd.as_raw_fd() as u32, pad: 0, key: key.as_ptr() as u64, value, flags: 0 }
    }

    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        assert_eq!(value.len(), self.value, "a value of another length");
        let element = self.element(key, value.as_mut_ptr() as u64);
        // SAFETY: lengths were compared with the map's; both slices outlive the call.
        found(unsafe { call(LOOKUP, &element) })
    }

    pub(crate) fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!(value.len(), self.value, "a value of another length");
        let element = self.element(key, value.as_ptr() as u64);
        // SAFETY: as above; an update only reads.
        unsafe { call(UPDATE, &element) }
    }

    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        let element = self.element(key, 0);
        // SAFETY: as above.
        found(unsafe { call(DELETE, &element) })
    }

    /// The key behind another in the map's own order; `None` begins.
    pub(crate) fn next(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        assert_eq!(next.len(), self.key, "a key of another length");
        let to = next.as_mut_ptr() as u64;
        let from = key.map_or(0, |key| key.as_ptr() as u64);
        assert!(key.is_none_or(|key| key.len() == self.key), "a key of another length");
        let element = Element { map: self.fd.as_raw_fd() as u32, pad: 0, key: from, value: to, flags: 0 };
        // SAFETY: as above; what is written is a key.
        found(unsafe { call(NEXT, &element) })
    }
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
