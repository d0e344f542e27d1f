//! The `bpf` system call on maps. Thin on purpose: aya's typed maps want a trait of their own for keys and values, and
//! hide which of E2BIG, ENOSPC and ENOMEM a full map answers with.

#![expect(unsafe_code, reason = "a system call with pointers")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const NEXT: libc::c_long = 4;
const GET: libc::c_long = 7;
const LOOKUP_BATCH: libc::c_long = 24;

/// `BPF_F_RDONLY`
const READ_ONLY: u32 = 1 << 3;

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

/// Opens what is pinned, so that no operation on it can change it.
pub(crate) fn open_read_only(pin: &Path) -> io::Result<OwnedFd> {
    /// `union bpf_attr` as far as opening uses it.
    #[repr(C)]
    struct Pin {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let pin = Pin { path: path.as_ptr() as u64, fd: 0, flags: READ_ONLY };
    // SAFETY: the union is read as far as the size that is given; the path is a string with its end that outlives the call.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, GET, std::ptr::from_ref(&pin), std::mem::size_of::<Pin>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Many entries with one call, in the map's own order: for a hash map bucket by bucket, so that what others write meanwhile
/// neither hides an entry that stays nor shows one twice.
pub(crate) struct Batch {
    pub(crate) keys: Vec<u8>,
    pub(crate) values: Vec<u8>,
    /// How many of them the last call filled.
    pub(crate) count: usize,
    token: Option<Vec<u8>>,
}

impl Batch {
    pub(crate) fn new(map: Raw<'_>, room: usize) -> Self {
        Self { keys: vec![0; room * map.key], values: vec![0; room * map.value], count: 0, token: None }
    }

    /// Reads on; false when the end is reached, and then too some may have been read. `InvalidInput` and the like where the
    /// kernel cannot do that with this kind of map.
    pub(crate) fn read(&mut self, map: Raw<'_>) -> io::Result<bool> {
        /// `union bpf_attr` as far as operations on many elements use it.
        #[repr(C)]
        struct Elements {
            from: u64,
            to: u64,
            keys: u64,
            values: u64,
            count: u32,
            map: u32,
            element_flags: u64,
            flags: u64,
        }
        // A bucket's number, or a key.
        let mut token = vec![0_u8; map.key.max(8)];
        loop {
            let room = self.keys.len() / map.key;
            assert_eq!(self.values.len(), room * map.value, "as many values as keys");
            let mut elements = Elements {
                from: self.token.as_ref().map_or(0, |token| token.as_ptr() as u64),
                to: token.as_mut_ptr() as u64,
                keys: self.keys.as_mut_ptr() as u64,
                values: self.values.as_mut_ptr() as u64,
                count: u32::try_from(room).map_err(io::Error::other)?,
                map: map.fd.as_raw_fd() as u32,
                element_flags: 0,
                flags: 0,
            };
            // SAFETY: the kernel writes at most `count` keys and values, for which there is room, a token no longer than
            // a key or four bytes, and the count.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    LOOKUP_BATCH,
                    std::ptr::from_mut(&mut elements),
                    std::mem::size_of::<Elements>(),
                )
            };
            let error = if result < 0 { Some(io::Error::last_os_error()) } else { None };
            match error {
                // A bucket with more entries than there is room for.
                Some(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.keys.resize(self.keys.len() * 2, 0);
                    self.values.resize(self.values.len() * 2, 0);
                }
                Some(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
                ended => {
                    self.count = (elements.count as usize).min(room);
                    self.token = Some(token);
                    return Ok(ended.is_none());
                }
            }
        }
    }
}

fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
