//! Addresses of one vSwitch: single ones, whole /28 prefixes, IPv6.
//!
//! Released addresses are handed out again before fresh ones, oldest first. That is the order which
//! hurts most a client that forgets its cooling time, and it is a legal one. Prefixes come from the
//! top of the block and single addresses from the bottom, so that neither starves the other early.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use terway_core::{
    address::{ADDRESSES_PER_PREFIX, AddressCount, AddressSet},
    id::{VSwitchId, ZoneId},
};

/// Allowed lengths of a vSwitch's IPv4 block, as documented for `CreateVSwitch`.
pub(super) const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 16..=29;
/// Addresses at the end of a block that the cloud keeps: gateway, a reserve, broadcast.
const RESERVED_LAST: u32 = 3;

/// One vSwitch.
#[derive(Clone, Debug)]
pub(super) struct VSwitchPool {
    pub(super) id: VSwitchId,
    pub(super) zone: ZoneId,
    pub(super) cidr: Ipv4Net,
    pub(super) ipv6: Option<Ipv6Net>,
    base: u32,
    /// One bit per address, set when taken; one word per /28.
    blocks: Vec<u16>,
    /// Block from which the next fresh single address is looked for, upwards.
    cursor: usize,
    /// Block from which the next fresh prefix is looked for, downwards.
    prefix_cursor: usize,
    released: VecDeque<u32>,
    released_prefixes: VecDeque<u32>,
    free: u32,
    withheld: u32,
    fresh_v6: u64,
    released_v6: VecDeque<Ipv6Addr>,
}

impl VSwitchPool {
    pub(super) fn new(id: VSwitchId, zone: ZoneId, cidr: Ipv4Net, ipv6: Option<Ipv6Net>) -> Self {
        let size = 1u32 << (32 - u32::from(cidr.prefix_len()));
        let words = size.div_ceil(ADDRESSES_PER_PREFIX) as usize;
        let mut pool = Self {
            id,
            zone,
            cidr: cidr.trunc(),
            ipv6,
            base: u32::from(cidr.network()),
            blocks: vec![0; words],
            cursor: 0,
            prefix_cursor: words - 1,
            released: VecDeque::new(),
            released_prefixes: VecDeque::new(),
            free: size,
            withheld: 0,
            // The first is the gateway.
            fresh_v6: 2,
            released_v6: VecDeque::new(),
        };
        for offset in std::iter::once(0).chain(size - RESERVED_LAST..size) {
            pool.mark(offset);
        }
        // A block below /28 leaves a part of its only word outside.
        for offset in size..words as u32 * ADDRESSES_PER_PREFIX {
            pool.blocks[0] |= 1 << offset;
        }
        pool
    }

    /// The VPC gateway: third last address of the block, `.253` of a /24.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.cidr.broadcast()) - 2)
    }

    /// IPv6 block and gateway, where there is one: the first address of the block that has not been
    /// given out before anything else is, `…::1`.
    pub(super) fn ipv6_gateway(&self) -> Option<(Ipv6Net, Ipv6Addr)> {
        let block = self.ipv6?;
        Some((block, Ipv6Addr::from(u128::from(block.network()) + 1)))
    }

    /// Addresses that can be had now.
    pub(super) fn available(&self) -> u32 {
        self.free - self.withheld
    }

    /// Leaves `count` addresses to be had; what is released later can be had as well.
    pub(super) fn reserve_all_but(&mut self, count: u32) {
        self.withheld = self.free.saturating_sub(count);
    }

    /// Gives back what [`Self::reserve_all_but`] took.
    pub(super) fn release_reserved(&mut self) {
        self.withheld = 0;
    }

    /// Takes all of `count`, or nothing.
    pub(super) fn take(&mut self, count: AddressCount) -> Option<AddressSet> {
        if self.available() < count.v4 + count.prefixes * ADDRESSES_PER_PREFIX {
            return None;
        }
        let mut taken = AddressSet::default();
        for _ in 0..count.prefixes {
            let Some(prefix) = self.take_prefix() else {
                self.give(&taken);
                return None;
            };
            taken.prefixes.push(prefix);
        }
        // The prefixes may have eaten what was free, but never what was counted above.
        taken.v4 = (0..count.v4).map(|_| self.take_single()).collect();
        taken.v6 = (0..count.v6).map_while(|_| self.take_v6()).collect();
        Some(taken)
    }

    /// Takes exactly these, or nothing when one is taken or lies elsewhere.
    pub(super) fn claim(&mut self, set: &AddressSet) -> bool {
        let of_prefix = |prefix: &Ipv4Net| {
            let first = u32::from(prefix.network());
            (0..ADDRESSES_PER_PREFIX).map(move |step| Ipv4Addr::from(first + step))
        };
        let singles = set.v4.iter().copied().chain(set.prefixes.iter().flat_map(of_prefix));
        let mut offsets: Vec<u32> = Vec::new();
        for ip in singles {
            let offset = u32::from(ip).wrapping_sub(self.base);
            let free = self.cidr.contains(&ip) && self.blocks[block_of(offset)] & bit_of(offset) == 0;
            if !free || offsets.contains(&offset) {
                return false;
            }
            offsets.push(offset);
        }
        if !set.v6.iter().all(|ip| self.ipv6.is_some_and(|block| block.contains(ip))) {
            return false;
        }
        for offset in offsets {
            self.mark(offset);
        }
        for ip in &set.v6 {
            let network = self.ipv6.map_or(0, |block| u128::from(block.network()));
            self.fresh_v6 = self.fresh_v6.max((u128::from(*ip) - network) as u64 + 1);
        }
        true
    }

    /// Addresses withheld by [`Self::reserve_all_but`].
    pub(super) fn withheld(&self) -> u32 {
        self.withheld
    }

    /// Withholds this many, or what is free.
    pub(super) fn withhold(&mut self, count: u32) {
        self.withheld = count.min(self.free);
    }

    /// Takes addresses back.
    pub(super) fn give(&mut self, set: &AddressSet) {
        for address in &set.v4 {
            let offset = u32::from(*address) - self.base;
            self.blocks[block_of(offset)] &= !bit_of(offset);
            self.free += 1;
            self.released.push_back(offset);
        }
        for prefix in &set.prefixes {
            let block = (u32::from(prefix.network()) - self.base) / ADDRESSES_PER_PREFIX;
            self.blocks[block as usize] = 0;
            self.free += ADDRESSES_PER_PREFIX;
            self.released_prefixes.push_back(block);
        }
        self.released_v6.extend(&set.v6);
    }

    fn mark(&mut self, offset: u32) {
        self.blocks[block_of(offset)] |= bit_of(offset);
        self.free -= 1;
    }

    fn take_single(&mut self) -> Ipv4Addr {
        // An entry is stale when a prefix has covered the address since.
        while let Some(offset) = self.released.pop_front() {
            if self.blocks[block_of(offset)] & bit_of(offset) == 0 {
                self.mark(offset);
                return Ipv4Addr::from(self.base + offset);
            }
        }
        while self.blocks[self.cursor] == u16::MAX {
            self.cursor = (self.cursor + 1) % self.blocks.len();
        }
        let offset = self.cursor as u32 * ADDRESSES_PER_PREFIX + self.blocks[self.cursor].trailing_ones();
        self.mark(offset);
        Ipv4Addr::from(self.base + offset)
    }

    fn take_prefix(&mut self) -> Option<Ipv4Net> {
        let block = self.free_block()?;
        self.blocks[block] = u16::MAX;
        self.free -= ADDRESSES_PER_PREFIX;
        let network = Ipv4Addr::from(self.base + block as u32 * ADDRESSES_PER_PREFIX);
        Some(Ipv4Net::new(network, 28).expect("28 is a length of an IPv4 prefix"))
    }

    fn free_block(&mut self) -> Option<usize> {
        while let Some(block) = self.released_prefixes.pop_front() {
            if self.blocks[block as usize] == 0 {
                return Some(block as usize);
            }
        }
        for _ in 0..self.blocks.len() {
            if self.blocks[self.prefix_cursor] == 0 {
                return Some(self.prefix_cursor);
            }
            self.prefix_cursor = self.prefix_cursor.checked_sub(1).unwrap_or(self.blocks.len() - 1);
        }
        None
    }

    fn take_v6(&mut self) -> Option<Ipv6Addr> {
        let network = u128::from(self.ipv6?.network());
        Some(self.released_v6.pop_front().unwrap_or_else(|| {
            let fresh = Ipv6Addr::from(network + u128::from(self.fresh_v6));
            self.fresh_v6 += 1;
            fresh
        }))
    }
}

fn block_of(offset: u32) -> usize {
    (offset / ADDRESSES_PER_PREFIX) as usize
}

fn bit_of(offset: u32) -> u16 {
    1 << (offset % ADDRESSES_PER_PREFIX)
}
