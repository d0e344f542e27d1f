//! Pools of large nodes.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use terway_agent::{
    pool::{Mono, Pool, PoolEni, VSwitches},
    store::{EniPhase, EniRecord},
};
use terway_core::{
    address::{AddressSet, Grain, Stack},
    config::{EniSelection, PoolPolicy, VSwitchSelection},
    id::Mac,
    limits::NodeCapacity,
};

/// When the benches take place.
pub const NOW: Mono = Duration::from_secs(1000);

/// Fifteen ENIs with thirty addresses each: the largest types in address grain. All are idle.
pub fn of_addresses() -> Pool {
    pool(NodeCapacity { max_enis: 15, per_eni: 30, grain: Grain::Address, stack: Stack::Ipv4 })
}

/// Fourteen ENIs with 29 prefixes each: 6,496 addresses. All are idle.
pub fn of_prefixes() -> Pool {
    pool(NodeCapacity { max_enis: 14, per_eni: 29, grain: Grain::Prefix, stack: Stack::Ipv4 })
}

/// Gives addresses to pods until only so many are idle.
pub fn fill(pool: &mut Pool, idle: u32) {
    while pool.idle() > idle {
        pool.take(NOW).expect("some are idle");
    }
    pool.note_levels(NOW);
}

fn pool(capacity: NodeCapacity) -> Pool {
    let policy = PoolPolicy {
        min_pool: 10,
        max_pool: 20,
        replenish_threshold: 5,
        min_eni: 0,
        max_eni: 0,
        eni_cap_ratio: 1.0,
        eni_cap_shift: 0,
        max_ips_per_eni: 0,
        parallel_enis: 5,
        surplus_hold: Duration::from_secs(120),
        cooldown: Duration::from_secs(130),
        reclaim: None,
        eni_selection: EniSelection::MostIps,
        vswitch_selection: VSwitchSelection::Random,
        stack: capacity.stack,
        grain: capacity.grain,
    };
    let ids = ["vsw-a", "vsw-b", "vsw-c"].map(Into::into).to_vec();
    let vswitches = VSwitches::new("zone-a".into(), ids, policy.vswitch_selection);
    let mut pool = Pool::new(capacity, policy, vswitches);
    for index in 0..capacity.max_enis as u8 {
        let record = record(index, &capacity);
        pool.enis.insert(record.id.clone(), PoolEni::from_record(&record, capacity.grain, NOW));
    }
    pool
}

fn record(index: u8, capacity: &NodeCapacity) -> EniRecord {
    let net = Ipv4Net::new(Ipv4Addr::new(10, index, 0, 0), 16).expect("a prefix length");
    let host = |host: u32| Ipv4Addr::from_bits(net.network().to_bits() + host);
    let mut addresses = AddressSet { v4: vec![host(1)], ..AddressSet::default() };
    match capacity.grain {
        Grain::Address => addresses.v4.extend((2..=capacity.per_eni).map(host)),
        Grain::Prefix => {
            let prefixes = 1..=capacity.per_eni;
            let prefix = |n| Ipv4Net::new(host(n * 16), 28).expect("a prefix length");
            addresses.prefixes.extend(prefixes.map(prefix));
        }
    }
    EniRecord {
        id: format!("eni-bp1{index:017}").into(),
        mac: Mac([0, 0x16, 0x3e, 0, 0, index]),
        vswitch: "vsw-a".into(),
        net: Some((net, host(0xfffd))),
        gateway6: None,
        primary: host(1),
        phase: EniPhase::InUse,
        addresses,
    }
}
