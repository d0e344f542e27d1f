//! The `bpf` system call, as far as programs and their links need it.

#![expect(unsafe_code, reason = "a system call with pointers")]

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_INFO: libc::c_long = 15;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;

const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
/// Before all others, and behind them.
const FIRST: u32 = 1 << 3;
const LAST: u32 = 1 << 4;
/// `BPF_LINK_TYPE_TCX`
const LINK_TCX: u32 = 11;

/// A part of `union bpf_attr`, eight words of four bytes: what is behind what a command names is zero.
type Attributes = [u32; 8];

/// # Safety
///
/// Pointers in `attributes` must be good for what the command does with them.
unsafe fn call(command: libc::c_long, attributes: &Attributes) -> io::Result<libc::c_long> {
    // SAFETY: the union is read as far as the size that is given; the caller answers for the pointers in it.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), std::mem::size_of::<Attributes>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// As [`call`], for commands that make a descriptor.
///
/// # Safety
///
/// As [`call`]; and the command returns a descriptor.
unsafe fn descriptor(command: libc::c_long, attributes: &Attributes) -> io::Result<OwnedFd> {
    // SAFETY: as the caller says.
    let fd = unsafe { call(command, attributes)? };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pointer as two words, as they stand in the union.
fn pointer<T>(to: *const T) -> [u32; 2] {
    let bytes = (to as u64).to_ne_bytes();
    let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [word(0), word(4)]
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

fn path(of: &Path) -> io::Result<CString> {
    CString::new(of.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// What is pinned at a path: program, map or link.
pub(crate) fn get(pin: &Path) -> io::Result<OwnedFd> {
    let path = path(pin)?;
    let [low, high] = pointer(path.as_ptr());
    // SAFETY: a string with its end, alive during the call; the command opens a descriptor.
    unsafe { descriptor(OBJ_GET, &[low, high, 0, 0, 0, 0, 0, 0]) }
}

/// Pins at a path where nothing is.
pub(crate) fn pin(fd: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    let path = path(at)?;
    let [low, high] = pointer(path.as_ptr());
    // SAFETY: as above.
    unsafe { call(OBJ_PIN, &[low, high, raw(fd), 0, 0, 0, 0, 0]) }.map(|_| ())
}

/// The first words of what the kernel tells of an object.
fn info(fd: BorrowedFd<'_>) -> io::Result<Attributes> {
    let mut info: Attributes = [0; 8];
    let [low, high] = pointer(info.as_mut_ptr());
    let size = std::mem::size_of::<Attributes>() as u32;
    // SAFETY: the kernel writes no more than the size that it is told.
    unsafe { call(OBJ_INFO, &[raw(fd), size, low, high, 0, 0, 0, 0])? };
    Ok(info)
}

/// A loaded program.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    id: u32,
}

impl Program {
    /// The program behind a descriptor.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Self::owned(fd.try_clone_to_owned()?)
    }

    /// The program that is pinned at a path.
    pub fn pinned(at: &Path) -> io::Result<Self> {
        Self::owned(get(at)?)
    }

    fn owned(fd: OwnedFd) -> io::Result<Self> {
        let [_, id, ..] = info(fd.as_fd())?;
        Ok(Self { fd, id })
    }

    /// Its number in the kernel.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Pins it, in one step in the place of another one.
    pub fn pin(&self, at: &Path) -> io::Result<()> {
        let mut beside = at.as_os_str().to_owned();
        beside.push("_new");
        let beside = Path::new(&beside);
        match std::fs::remove_file(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        pin(self.fd.as_fd(), beside)?;
        std::fs::rename(beside, at)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A tcx link.
#[derive(Debug)]
pub(crate) struct TcxLink(OwnedFd);

impl TcxLink {
    /// Puts a program on a network link. Policy sees packets as they are on the wire to the pod: first of what comes from
    /// it, last of what goes there. `InvalidInput` where the kernel has no tcx.
    pub(crate) fn create(program: &Program, link: u32, ingress: bool) -> io::Result<Self> {
        let (kind, order) = if ingress { (TCX_INGRESS, FIRST) } else { (TCX_EGRESS, LAST) };
        // SAFETY: no pointers; the command opens a descriptor.
        unsafe { descriptor(LINK_CREATE, &[raw(program.fd()), link, kind, order, 0, 0, 0, 0]) }.map(Self)
    }

    /// The link that is pinned at a path.
    pub(crate) fn pinned(at: &Path) -> io::Result<Self> {
        get(at).map(Self)
    }

    pub(crate) fn pin(&self, at: &Path) -> io::Result<()> {
        pin(self.0.as_fd(), at)
    }

    /// Gives it another program, in one step.
    pub(crate) fn update(&self, program: &Program) -> io::Result<()> {
        // SAFETY: no pointers.
        unsafe { call(LINK_UPDATE, &[raw(self.0.as_fd()), raw(program.fd()), 0, 0, 0, 0, 0, 0]) }.map(|_| ())
    }

    /// Which program is on which network link: 0 when that is gone.
    pub(crate) fn shows(&self) -> io::Result<(u32, u32)> {
        let [kind, _, program, _, link, ..] = info(self.0.as_fd())?;
        if kind == LINK_TCX { Ok((program, link)) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}
