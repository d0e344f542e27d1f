//! Policy programs on links: seen, put there, taken off. Each takes a few system calls and waits for nothing.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io,
    path::Path,
};

use terway_guard::{Hook, Method, Program as Pinned, attach, detach, is_attached};

use super::run::{Refused, already_gone};
use crate::{
    op::{Change, NetOp, Object},
    state::Program,
};

/// Which of these programs are on their links. One that is not pinned is on none.
pub(crate) fn seen<'a>(
    wanted: impl IntoIterator<Item = &'a Program>,
    index: impl Fn(&str) -> Option<u32>,
) -> io::Result<BTreeSet<Program>> {
    let mut pinned: BTreeMap<(&Path, Hook), Option<Pinned>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for program in wanted {
        let Some(link) = index(&program.dev) else { continue };
        let key = (program.pins.as_path(), program.hook);
        let current = match pinned.entry(key) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(open(program)?),
        };
        if let Some(current) = current
            && is_attached(current, program.hook, &program.pins, link)?
        {
            seen.insert(program.clone());
        }
    }
    Ok(seen)
}

fn open(program: &Program) -> io::Result<Option<Pinned>> {
    match Pinned::pinned(&program.hook.pin(&program.pins)) {
        Ok(pinned) => Ok(Some(pinned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a run of changes of programs. What was done goes into `done`, and what was refused is returned.
pub(crate) fn run(run: &[NetOp], index: impl Fn(&str) -> Option<u32>, done: &mut Vec<NetOp>) -> Vec<Refused> {
    let mut refused = Vec::new();
    for op in run {
        match change(&op.change, &index) {
            Ok(()) => done.push(op.clone()),
            Err(error) if already_gone(op, &error) => {}
            Err(error) => refused.push(Refused::new(op, error)),
        }
    }
    refused
}

fn change(change: &Change, index: &impl Fn(&str) -> Option<u32>) -> io::Result<()> {
    let (Change::Add(Object::Program(program)) | Change::Del(Object::Program(program))) = change else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let Program { dev, hook, pins } = program;
    let link = index(dev).ok_or_else(|| io::Error::from(rustix::io::Errno::NODEV))?;
    if matches!(change, Change::Del(_)) {
        return detach(*hook, pins, link);
    }
    let pinned = open(program)?.ok_or_else(|| {
        let text = format!("{} is not there; the agent pins it when it starts", hook.pin(pins).display());
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    attach(&pinned, *hook, pins, link, Method::Best).map(drop)
}
