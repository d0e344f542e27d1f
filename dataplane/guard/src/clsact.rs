//! Queues and filters of traffic control, by netlink: three requests, each acknowledged.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};

use crate::{bpf::Program, hook::Hook};

const NEW_QDISC: u16 = 36;
const NEW_FILTER: u16 = 44;
const DEL_FILTER: u16 = 45;
const GET_FILTER: u16 = 46;
const ERROR: u16 = 2;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const REPLACE: u16 = 0x100;
const EXCL: u16 = 0x200;
const CREATE: u16 = 0x400;

const CLSACT: u32 = 0xffff_fff1;
const MAJOR: u32 = 0xffff_0000;
const INGRESS: u32 = 0xfff2;
const EGRESS: u32 = 0xfff3;

const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const BPF_FD: u16 = 6;
const BPF_NAME: u16 = 7;
const BPF_FLAGS: u16 = 8;
const BPF_ID: u16 = 11;
const NESTED: u16 = 0x8000;
/// The program's answer is the action.
const DIRECT: u32 = 1;

/// Our filter among those of others: early, and at a number that nobody picks by chance.
const PRIORITY: u32 = 0x7e;
const HANDLE: u32 = 0x7e77;
/// `ETH_P_ALL`, as it stands on the wire.
const ALL: u32 = 0x0003_u16.to_be() as u32;

/// One attribute with its padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `struct tcmsg`, and what comes after it.
fn message(link: u32, handle: u32, parent: u32, info: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for word in [link, handle, parent, info] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(attributes.concat());
    bytes
}

/// The message about our filter at a hook.
fn filter(hook: Hook, link: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let parent = MAJOR | if hook.is_ingress() { INGRESS } else { EGRESS };
    message(link, HANDLE, parent, PRIORITY << 16 | ALL, attributes)
}

/// Asks, and returns the first answer that has content.
fn ask(kind: u16, flags: u16, body: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut request = Vec::with_capacity(16 + body.len());
    request.extend((16 + body.len() as u32).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((REQUEST | ACK | flags).to_ne_bytes());
    request.extend([1u32.to_ne_bytes(), [0; 4]].concat());
    request.extend_from_slice(body);
    socket.send(&request, 0)?;
    let mut found = None;
    loop {
        let mut buffer = Vec::with_capacity(16 << 10);
        recv(&socket, spare_capacity(&mut buffer), RecvFlags::empty())?;
        let mut rest = buffer.as_slice();
        while let Some(length) = word(rest, 0).map(|length| length as usize).filter(|length| *length >= 16) {
            let Some(one) = rest.get(..length) else { break };
            if half(one, 4) != Some(ERROR) {
                found.get_or_insert_with(|| one[16..].to_vec());
            } else if let Some(code) = word(one, 16).map(u32::cast_signed) {
                return if code == 0 { Ok(found) } else { Err(io::Error::from_raw_os_error(-code)) };
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The value of an attribute in a row of them.
fn value(mut rest: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(half(rest, 0)?);
        let here = rest.get(4..length)?;
        if half(rest, 2)? & !NESTED == kind {
            return Some(here);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// Whether the kernel says that there is no such filter, queue or link.
fn is_absent(error: &io::Error) -> bool {
    let absent = [Errno::NOENT, Errno::INVAL, Errno::OPNOTSUPP, Errno::NODEV];
    error.raw_os_error().is_some_and(|code| absent.iter().any(|errno| errno.raw_os_error() == code))
}

/// Puts a program on a link, or in the place of the one that is ours already.
pub(crate) fn put(program: &Program, hook: Hook, link: u32) -> io::Result<()> {
    let clsact = message(link, MAJOR, CLSACT, 0, &[attribute(KIND, b"clsact\0")]);
    match ask(NEW_QDISC, CREATE | EXCL, &clsact) {
        Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {}
        other => _ = other?,
    }
    let fd = std::os::fd::AsRawFd::as_raw_fd(&program.fd());
    let options = [
        attribute(BPF_FD, &fd.to_ne_bytes()),
        attribute(BPF_NAME, format!("{hook}\0").as_bytes()),
        attribute(BPF_FLAGS, &DIRECT.to_ne_bytes()),
    ];
    let attributes = [attribute(KIND, b"bpf\0"), attribute(OPTIONS | NESTED, &options.concat())];
    ask(NEW_FILTER, CREATE | REPLACE, &filter(hook, link, &attributes)).map(|_| ())
}

/// Number of the program that our filter has, where there is one. Two hooks share a place: the filter's name tells which.
pub(crate) fn present(hook: Hook, link: u32) -> io::Result<Option<u32>> {
    match ask(GET_FILTER, 0, &filter(hook, link, &[attribute(KIND, b"bpf\0")])) {
        Ok(answer) => {
            let answer = answer.unwrap_or_default();
            let options = answer.get(20..).and_then(|attributes| value(attributes, OPTIONS));
            let name = format!("{hook}\0");
            let ours = options.filter(|options| value(options, BPF_NAME) == Some(name.as_bytes()));
            Ok(ours.and_then(|options| value(options, BPF_ID)).and_then(|id| word(id, 0)))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes our filter away; none is no error.
pub(crate) fn remove(hook: Hook, link: u32) -> io::Result<()> {
    match ask(DEL_FILTER, 0, &filter(hook, link, &[attribute(KIND, b"bpf\0")])) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}
