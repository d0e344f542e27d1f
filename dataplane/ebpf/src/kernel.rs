//! The tables that a verdict reads, as eBPF maps: each method is one operation on one of them.

use aya_ebpf::{
    bindings::BPF_ANY,
    btf_maps::lpm_trie::Key,
    helpers::generated::{bpf_get_prandom_u32, bpf_jiffies64, bpf_ktime_get_ns},
};
use terway_policy::{
    layout::{
        Addr, Best, Booked, CidrKey, ClassKey, ClassValue, Control, Counter, CounterKey, CrossKey, Endpoint,
        Event, Flow, FlowKey, Fragment, FragmentKey, Page, PeerKey, RuleSet, epoch_slot, host_bit,
    },
    maps::{Maps, Slot},
};

use crate::maps::{
    CIDRS, CLASSES, CONTROL, COUNTERS, CROSS, DROPS, ENDPOINTS, ENDPOINTS_BY_ADDRESS, EPOCHS, EVENTS, FLOWS,
    FRAGMENTS, HOST, HOST_BITS, PAGES, PEERS, RATE, RULES, SERVICES,
};

/// All maps of the node. References into hash maps stay readable while the program runs: it holds the RCU read lock, and
/// what the agent takes out is freed behind it. A slot of a preallocated map may get another entry meanwhile; a flow that
/// is read so is one of another's, once, and only under the memory pressure that evicts flows.
pub(crate) struct Kernel;

/// A value of the flow table.
pub(crate) struct Place(*mut Flow);

impl Slot for Place {
    #[inline(always)]
    fn get(&self) -> Booked {
        // SAFETY: a map's value, alive while the program runs, and it begins with this.
        unsafe { self.0.cast::<Booked>().read() }
    }

    #[inline(always)]
    fn set(&self, booked: Booked) {
        // SAFETY: as above. Two processors may write at once; each field is whole, and the next packet repairs the rest.
        unsafe { self.0.cast::<Booked>().write(booked) }
    }

    #[inline(always)]
    fn own(&self) -> [u32; 4] {
        // SAFETY: as above; any bytes are words, and values of maps are aligned for them.
        unsafe { (&raw const (*self.0).own).cast::<[u32; 4]>().read() }
    }

    #[inline(always)]
    fn touch(&self, seen: u64) {
        // SAFETY: as above.
        unsafe { (*self.0).seen = seen }
    }
}

/// The kernel's key of a longest-prefix map is a length and the bytes, without padding.
#[inline(always)]
fn prefix(key: &CidrKey) -> &Key<PeerKey> {
    const { assert!(size_of::<CidrKey>() == size_of::<Key<PeerKey>>()) }
    // SAFETY: both are a u32 and then the bytes of a PeerKey; the kernel's is packed.
    unsafe { &*core::ptr::from_ref(key).cast() }
}

impl Maps for Kernel {
    type Slot<'a> = Place;

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: reads a counter.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn control(&self) -> Option<&Control> {
        CONTROL.get(0)
    }

    #[inline(always)]
    fn endpoint(&self, link: u32) -> Option<&Endpoint> {
        // SAFETY: see `Kernel`.
        unsafe { ENDPOINTS.get(link) }
    }

    #[inline(always)]
    fn epoch(&self, link: u32) -> Option<u32> {
        EPOCHS.get(epoch_slot(link)).copied()
    }

    #[inline(always)]
    fn endpoint_of(&self, addr: &Addr) -> Option<u32> {
        // SAFETY: see `Kernel`.
        unsafe { ENDPOINTS_BY_ADDRESS.get(addr) }.copied()
    }

    #[inline(always)]
    fn is_host(&self, addr: &Addr) -> bool {
        let Some(bits) = HOST_BITS.get(0) else { return false };
        // SAFETY: see `Kernel`.
        bits & host_bit(addr) != 0 && unsafe { HOST.get(addr) }.is_some()
    }

    #[inline(always)]
    fn is_service(&self, addr: &Addr) -> bool {
        SERVICES.get(&Key::new(128, *addr)).is_some()
    }

    #[inline(always)]
    fn peer(&self, key: &PeerKey) -> Option<u32> {
        // SAFETY: see `Kernel`.
        unsafe { PEERS.get(key) }.copied()
    }

    #[inline(always)]
    fn cidr(&self, key: &CidrKey) -> Option<u32> {
        CIDRS.get(prefix(key)).copied()
    }

    #[inline(always)]
    fn rules(&self, id: u32) -> Option<&RuleSet> {
        RULES.get(id)
    }

    #[inline(always)]
    fn page(&self, id: u32) -> Option<&Page> {
        PAGES.get(id)
    }

    #[inline(always)]
    fn class(&self, key: &ClassKey) -> Option<&ClassValue> {
        // SAFETY: see `Kernel`.
        unsafe { CLASSES.get(key) }
    }

    #[inline(always)]
    fn cross(&self, key: &CrossKey) -> Option<&Best> {
        // SAFETY: see `Kernel`.
        unsafe { CROSS.get(key) }
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<Place> {
        FLOWS.get_ptr_mut(key).map(Place)
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey, flow: Flow) {
        // Without room the flow is not tracked: the kernel found none to evict on this processor.
        let _ = FLOWS.insert(key, &flow, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        // SAFETY: see `Kernel`.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn insert_fragment(&self, key: &FragmentKey, value: Fragment) {
        // Without room the later fragments are dropped where the pod is isolated.
        let _ = FRAGMENTS.insert(key, &value, u64::from(BPF_ANY));
    }

    #[inline(always)]
    fn count(&self, key: &CounterKey, bytes: u32) {
        if let Some(counter) = COUNTERS.get_ptr_mut(key) {
            // SAFETY: this processor's value, and programs are not preempted by themselves.
            unsafe {
                (*counter).packets += 1;
                (*counter).bytes += u64::from(bytes);
            }
        } else {
            let first = Counter { packets: 1, bytes: u64::from(bytes) };
            // Without room a packet is not counted; nothing else depends on it.
            let _ = COUNTERS.insert(key, &first, u64::from(BPF_ANY));
        }
    }

    #[inline(always)]
    fn count_drop(&self, reason: u32) {
        if let Some(count) = DROPS.get_ptr_mut(reason) {
            // SAFETY: this processor's value.
            unsafe { *count += 1 }
        }
    }

    #[inline(always)]
    fn tells(&self, denied: bool) -> bool {
        let Some(control) = CONTROL.get(0) else { return false };
        if denied { within(control) } else { sampled(control) }
    }

    #[inline(always)]
    fn tell(&self, event: &Event) {
        if let Some(mut entry) = EVENTS.reserve_untyped::<Event>(0) {
            let event: &mut Event = entry.write(*event);
            // SAFETY: reads a clock.
            event.at = unsafe { bpf_ktime_get_ns() };
            entry.submit(0);
        }
    }
}

/// Whether one more denial may be told in this second, on this processor.
#[inline(always)]
fn within(control: &Control) -> bool {
    let Some(rate) = RATE.get_ptr_mut(0) else { return false };
    // SAFETY: reads a counter; and this processor's value.
    let (now, rate) = unsafe { (bpf_jiffies64(), &mut *rate) };
    if now - rate.began >= u64::from(control.hz) {
        rate.began = now;
        rate.told = 0;
    }
    rate.told += 1;
    rate.told <= u64::from(control.event_rate)
}

/// Whether this flow is the one of so many that is told.
#[inline(always)]
fn sampled(control: &Control) -> bool {
    // SAFETY: reads a generator.
    control.sample != 0 && unsafe { bpf_get_prandom_u32() } % control.sample == 0
}
