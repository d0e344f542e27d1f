use redb::backends::InMemoryBackend;
use terway_core::{
    address::{AddressSet, PodIps},
    id::{InstanceId, Mac, PodKey},
    limits::InstanceLimits,
};

use super::*;

fn database() -> Database {
    Database::builder().create_with_backend(InMemoryBackend::new()).expect("memory does not fail")
}

fn allocation() -> Allocation {
    Allocation {
        container: Some("c1".into()),
        ifname: "eth0".into(),
        pod: PodKey::new("default", "web-0"),
        uid: "uid-1".into(),
        ips: PodIps { v4: [10, 0, 0, 7].into(), v6: None },
        eni: "eni-1".into(),
        network: "terway".into(),
        bandwidth: terway_core::host::Bandwidth::default(),
        link: 0,
        made: None,
    }
}

#[test]
fn what_was_committed_is_read_back() {
    let database = database();
    let eni = EniRecord {
        id: "eni-1".into(),
        mac: Mac([0, 0x16, 0x3e, 0, 0, 1]),
        vswitch: "vsw-1".into(),
        net: None,
        gateway6: None,
        primary: [10, 0, 0, 6].into(),
        phase: EniPhase::InUse,
        addresses: AddressSet {
            v4: vec![[10, 0, 0, 6].into(), [10, 0, 0, 7].into()],
            ..AddressSet::default()
        },
    };
    let meta = Meta { instance: InstanceId::from("i-1"), limits: InstanceLimits::new(4, 15, 15) };
    let cooling =
        Cooling { ips: PodIps { v4: [10, 0, 0, 6].into(), v6: None }, boot_id: 1, until_ms: 130_000 };
    commit(
        &database,
        &[
            Write::Meta(meta.clone()),
            Write::PutEni(eni.clone()),
            Write::PutAllocation(allocation()),
            Write::PutCooling(cooling.clone()),
        ],
    )
    .expect("commits");
    let stored = load(&database).expect("loads");
    assert_eq!(stored.meta, Some(meta));
    assert_eq!(stored.enis, [eni]);
    assert_eq!(stored.allocations, [allocation()]);
    assert_eq!(stored.cooling, [cooling]);

    commit(&database, &[Write::DropAllocation(allocation().key()), Write::DropCooling([10, 0, 0, 6].into())])
        .expect("commits");
    let stored = load(&database).expect("loads");
    assert!(stored.allocations.is_empty() && stored.cooling.is_empty());
}

#[test]
fn a_row_that_cannot_be_read_is_corruption_not_a_guess() {
    let database = database();
    let transaction = database.begin_write().expect("begins");
    let mut table = transaction.open_table(RECORDS).expect("opens");
    table.insert("allocation/k", b"{".as_slice()).expect("inserts");
    drop(table);
    transaction.commit().expect("commits");
    assert!(matches!(load(&database), Err(StoreError::Corrupt { .. })));
}
