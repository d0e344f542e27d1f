//! The maps, under the names that they are pinned by. The loader sets the sizes that the node's configuration asks for.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, LruPerCpuHashMap, PerCpuArray, RingBuf},
    macros::btf_map,
};
use terway_policy::layout::{
    self, Addr, Best, ClassKey, ClassValue, Control, Counter, CounterKey, CrossKey, Endpoint, Flow, FlowKey,
    Fragment, FragmentKey, Page, PeerKey, RuleSet,
};
use terway_policy::packet::Parsed;

/// Entries take memory when they are made, not when the map is.
const ON_DEMAND: usize = BPF_F_NO_PREALLOC as usize;

/// How many events this processor has told in the present second.
#[repr(C)]
pub(crate) struct Rate {
    /// Tick at which the second began.
    pub(crate) began: u64,
    /// Events since then.
    pub(crate) told: u64,
}

#[btf_map(name = "terway_ctl")]
pub(crate) static CONTROL: Array<Control, 1> = Array::new();

#[btf_map(name = "terway_ep")]
pub(crate) static ENDPOINTS: HashMap<u32, Endpoint, 1024> = HashMap::new();

#[btf_map(name = "terway_epoch")]
pub(crate) static EPOCHS: Array<u32, { layout::EPOCHS as usize }> = Array::new();

#[btf_map(name = "terway_ep_ip")]
pub(crate) static ENDPOINTS_BY_ADDRESS: HashMap<Addr, u32, 4096> = HashMap::new();

#[btf_map(name = "terway_host")]
pub(crate) static HOST: HashMap<Addr, u32, 64> = HashMap::new();

#[btf_map(name = "terway_host_bits")]
pub(crate) static HOST_BITS: Array<u64, 1> = Array::new();

#[btf_map(name = "terway_svc")]
pub(crate) static SERVICES: LpmTrie<Addr, u32, 16> = LpmTrie::new();

#[btf_map(name = "terway_peer")]
pub(crate) static PEERS: HashMap<PeerKey, u32, 65_536, ON_DEMAND> = HashMap::new();

#[btf_map(name = "terway_cidr")]
pub(crate) static CIDRS: LpmTrie<PeerKey, u32, 16_384> = LpmTrie::new();

#[btf_map(name = "terway_rs")]
pub(crate) static RULES: Array<RuleSet, 4096> = Array::new();

#[btf_map(name = "terway_page")]
pub(crate) static PAGES: Array<Page, 8192> = Array::new();

#[btf_map(name = "terway_rs_peer")]
pub(crate) static CLASSES: HashMap<ClassKey, ClassValue, 131_072, ON_DEMAND> = HashMap::new();

#[btf_map(name = "terway_policy_map")]
pub(crate) static CROSS: HashMap<CrossKey, Best, 65_536, ON_DEMAND> = HashMap::new();

#[btf_map(name = "terway_ct")]
pub(crate) static FLOWS: LruHashMap<FlowKey, Flow, 524_288> = LruHashMap::new();

#[btf_map(name = "terway_frag")]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, Fragment, 8192> = LruHashMap::new();

#[btf_map(name = "terway_cnt")]
pub(crate) static COUNTERS: LruPerCpuHashMap<CounterKey, Counter, 65_536> = LruPerCpuHashMap::new();

#[btf_map(name = "terway_drop")]
pub(crate) static DROPS: PerCpuArray<u64, 64> = PerCpuArray::new();

#[btf_map(name = "terway_rate")]
pub(crate) static RATE: PerCpuArray<Rate, 1> = PerCpuArray::new();

#[btf_map(name = "terway_ev")]
pub(crate) static EVENTS: RingBuf<(), 262_144> = RingBuf::new();

/// Where a packet's fields are kept: one slot per processor, and a program runs to its end on one. Not on the stack: what
/// is read back from a map is any value to the verifier, so it follows one way through the rest of the program instead of
/// one for each kind of packet.
#[btf_map(name = "terway_scratch")]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

/// Room for a [`Parsed`].
#[repr(C)]
struct Scratch {
    words: [u64; 8],
}

#[inline(always)]
fn slot() -> Option<*mut Parsed> {
    Some(SCRATCH.get_ptr_mut(0)?.cast())
}

/// This processor's slot as the program has left it, behind [`scratch`].
#[inline(always)]
pub(crate) fn parsed<'a>() -> Option<&'a Parsed> {
    // SAFETY: as in `scratch`, which made it valid; nobody writes to it any more.
    slot().map(|parsed| unsafe { &*parsed })
}

/// This processor's slot, emptied.
#[inline(always)]
pub(crate) fn scratch<'a>() -> Option<&'a mut Parsed> {
    const { assert!(size_of::<Parsed>() <= size_of::<Scratch>() && align_of::<Parsed>() <= align_of::<Scratch>()) }
    let parsed: *mut Parsed = slot()?;
    // SAFETY: large enough, aligned, alive while the program runs; nobody else on this processor has it meanwhile. The
    // write makes it valid.
    unsafe {
        parsed.write(Parsed::EMPTY);
        Some(&mut *parsed)
    }
}
