//! Pages of ports, shared by content: most rule sets name a port or two, and many name the same.

use std::collections::{BTreeMap, VecDeque};

use super::Full;
use crate::{
    layout::{PAGE_LINK, Page},
    op::Op,
};

#[derive(Debug)]
pub(super) struct Pages {
    by_content: BTreeMap<Box<Page>, (u32, u32)>,
    content: BTreeMap<u32, Box<Page>>,
    /// The one that was freed first is used first, so that a packet under way does not meet another's page.
    free: VecDeque<u32>,
    capacity: usize,
}

impl Pages {
    pub(super) fn new(ids: std::ops::Range<u32>) -> Self {
        let capacity = ids.len();
        Self { by_content: BTreeMap::new(), content: BTreeMap::new(), free: ids.collect(), capacity }
    }

    pub(super) fn used(&self) -> usize {
        self.content.len()
    }

    /// The number of a page, written if it is new.
    pub(super) fn hold(&mut self, page: Box<Page>, ops: &mut Vec<Op>) -> Result<u32, Full> {
        if let Some((id, holders)) = self.by_content.get_mut(&page) {
            *holders += 1;
            return Ok(*id);
        }
        let Some(id) = self.free.pop_front() else {
            return Err(Full { map: "terway_page", room: self.capacity });
        };
        ops.push(Op::Page(id, Some(page.clone())));
        self.content.insert(id, page.clone());
        self.by_content.insert(page, (id, 1));
        Ok(id)
    }

    pub(super) fn release(&mut self, id: u32) {
        let Some(page) = self.content.get(&id) else { return };
        if let Some((_, holders)) = self.by_content.get_mut(page) {
            *holders -= 1;
            if *holders == 0 {
                self.by_content.remove(page);
                self.content.remove(&id);
                // An array's entry cannot be removed; nothing points at it any more.
                self.free.push_back(id);
            }
        }
    }

    /// Holds the pages of one kind of port: `groups` is by port, in runs of equal groups (first port, group). Returns
    /// the first page, and all that are held.
    pub(super) fn hold_ports(
        &mut self,
        runs: &[(u16, u16)],
        held: &mut Vec<u32>,
        ops: &mut Vec<Op>,
    ) -> Result<u32, Full> {
        let mut root = Box::new(Page { groups: [0; 256] });
        let mut run = 0;
        for high in 0..=255_u16 {
            let first = high << 8;
            let last = first | 0xff;
            while run + 1 < runs.len() && runs[run + 1].0 <= first {
                run += 1;
            }
            if run + 1 >= runs.len() || runs[run + 1].0 > last {
                root.groups[high as usize] = runs[run].1;
                continue;
            }
            let mut page = Box::new(Page { groups: [0; 256] });
            for port in first..=last {
                while run + 1 < runs.len() && runs[run + 1].0 <= port {
                    run += 1;
                }
                page.groups[(port & 0xff) as usize] = runs[run].1;
            }
            let id = self.hold(page, ops)?;
            held.push(id);
            root.groups[high as usize] = PAGE_LINK | id as u16;
        }
        let id = self.hold(root, ops)?;
        held.push(id);
        Ok(id)
    }
}
