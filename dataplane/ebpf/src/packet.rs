//! A packet as the kernel holds it.

use core::{arch::asm, mem::MaybeUninit};

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use terway_policy::packet::Packet;

/// Furthest offset of a read. The verifier wants a bound; the parser gives up earlier.
const FURTHEST: usize = 2047;

/// A frame from its Ethernet header, read in place; what is not linear is copied out byte range by byte range. Nothing is
/// pulled: that would copy the head of each packet that its sender keeps for a retransmission.
pub(crate) struct Frame {
    skb: *mut __sk_buff,
}

impl Frame {
    /// The frame of a program's context.
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// Bytes wherever they are, as words.
    #[inline(always)]
    fn copy<const N: usize>(&self, offset: usize) -> Option<[u64; 3]> {
        let mut words: [MaybeUninit<u64>; 3] = [MaybeUninit::uninit(); 3];
        // A word that is written in part must not be read with what was on the stack before.
        if !N.is_multiple_of(8) {
            words[N / 8] = MaybeUninit::new(0);
        }
        // SAFETY: the context is valid while the program runs, and the helper writes `N` bytes, at most 24, or fails.
        let failed = unsafe {
            bpf_skb_load_bytes(self.skb.cast(), offset as u32, words.as_mut_ptr().cast(), N as u32)
        };
        if failed != 0 {
            return None;
        }
        let mut copied = [0; 3];
        let mut at = 0;
        while at < N.div_ceil(8) {
            // SAFETY: as many words as `N` bytes take were written.
            copied[at] = unsafe { words[at].assume_init() };
            at += 1;
        }
        Some(copied)
    }
}

#[inline(always)]
fn bytes<const N: usize>(words: [u64; 3]) -> [u8; N] {
    const { assert!(N <= 24) }
    // SAFETY: the words have at least `N` bytes, and any bytes are an array of them.
    unsafe { core::ptr::from_ref(&words).cast::<[u8; N]>().read() }
}

/// Reads one number in place, at any alignment, which kernels allow in packets where the machine does.
macro_rules! read {
    ($from:expr, $offset:expr, $width:literal) => {{
        let value: u64;
        // SAFETY: the caller has compared the end of the range with the end of the packet.
        unsafe {
            asm!(
                concat!("{value} = *(", $width, " *)({from} + {offset})"),
                value = out(reg) value,
                from = in(reg) $from,
                offset = const $offset,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        value
    }};
}

impl Packet for Frame {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > FURTHEST {
            return None;
        }
        // SAFETY: the context is valid while the program runs.
        let (data, end) = unsafe { ((*self.skb).data as u64, (*self.skb).data_end as u64) };
        let mut from = data;
        // Spelled out so that comparison and reads use one register: the verifier follows registers, not values.
        // SAFETY: adds two numbers.
        unsafe {
            asm!(
                "{from} += {offset}",
                from = inout(reg) from,
                offset = in(reg) offset as u64,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        // Words on both ways, so that what is kept over the rest of the program is one register per word, not per byte.
        let words = if from + N as u64 > end {
            self.copy::<N>(offset)?
        } else {
            match N {
                1 => [read!(from, 0, "u8"), 0, 0],
                2 => [read!(from, 0, "u16"), 0, 0],
                4 => [read!(from, 0, "u32"), 0, 0],
                8 => [read!(from, 0, "u64"), 0, 0],
                16 => [read!(from, 0, "u64"), read!(from, 8, "u64"), 0],
                20 => [read!(from, 0, "u64"), read!(from, 8, "u64"), read!(from, 16, "u32")],
                _ => self.copy::<N>(offset)?,
            }
        };
        Some(bytes(words))
    }

    #[inline(always)]
    fn load_rare<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > FURTHEST {
            return None;
        }
        Some(bytes(self.copy::<N>(offset)?))
    }

    #[inline(always)]
    fn near<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        const { assert!(N <= 12) }
        // SAFETY: the context is valid while the program runs.
        let (data, end) = unsafe { ((*self.skb).data as u64, (*self.skb).data_end as u64) };
        let from = data + offset as u64;
        if from + 4 * N as u64 > end {
            return None;
        }
        let mut words = [0; N];
        macro_rules! words {
            ($($at:literal)*) => { $(if $at < N { words[$at] = read!(from, 4 * $at, "u32") as u32; })* };
        }
        words!(0 1 2 3 4 5 6 7 8 9 10 11);
        Some(words)
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).len }
    }
}
