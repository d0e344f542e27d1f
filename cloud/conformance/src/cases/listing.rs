//! Reads: filters, pages, what is not there.

use std::collections::BTreeSet;

use terway_core::cloud::{CreateEni, DESCRIBE_IDS_MAX, EniFilter, RetryClass::Fatal, VSwitchFilter};

use crate::{
    ground::{Ground, all, create, refused, v4},
    site,
};

pub(super) async fn enis_are_found_by_id_instance_and_tag(on: Ground) {
    let attached = on.attached("a", v4(1)).await;
    let free = on.made("b", v4(1)).await;
    let foreign = CreateEni { tags: vec![("creator".into(), "someone".into())], ..create("c", v4(1)) };
    let foreign = on.cloud.create_eni(&foreign).await.expect("room");
    let ids = async |filter: EniFilter| -> BTreeSet<String> {
        on.enis(&filter).await.into_iter().map(|eni| eni.id.to_string()).collect()
    };
    let names = |enis: &[&terway_core::cloud::Eni]| -> BTreeSet<String> {
        enis.iter().map(|eni| eni.id.to_string()).collect()
    };
    let both = names(&[&attached, &free]);
    on.until("both are described as ours", || async { (ids(EniFilter::Ours).await == both).then_some(()) })
        .await;
    assert_eq!(ids(EniFilter::OfInstance(on.node.clone())).await, both);
    assert_eq!(ids(EniFilter::OfInstance("i-none".into())).await, BTreeSet::new());
    let here = ids(EniFilter::OnInstance(on.node.clone())).await;
    assert_eq!(here.len(), 2, "the primary NIC and the attached one: {here:?}");
    assert!(here.contains(attached.id.as_str()));
    let asked = vec![foreign.id.clone(), "eni-none".into(), free.id.clone()];
    assert_eq!(ids(EniFilter::Ids(asked)).await, names(&[&foreign, &free]), "unknown ids give no row");
}

pub(super) async fn enis_come_in_pages(on: Ground) {
    let mut made = BTreeSet::new();
    for index in 0..DESCRIBE_IDS_MAX + 5 {
        made.insert(on.made(&format!("t{index}"), v4(1)).await.id);
    }
    let first = on.cloud.describe_enis(&EniFilter::Ours, None).await.expect("a page");
    assert_eq!(first.rows.len(), DESCRIBE_IDS_MAX);
    assert!(first.next.is_some(), "there are more");
    let told: Vec<_> = on.enis(&EniFilter::Ours).await.into_iter().map(|eni| eni.id).collect();
    assert_eq!(told.len(), made.len(), "each once");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), made);
}

pub(super) async fn vswitches_come_in_pages(on: Ground) {
    let of = async |filter: VSwitchFilter| {
        all(async |next| on.cloud.describe_vswitches(&filter, next).await).await
    };
    let rows = of(VSwitchFilter::OfVpc(site::VPC.into())).await;
    let names: BTreeSet<_> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!((rows.len(), names.len()), (site::MORE_VSWITCHES + 3, site::MORE_VSWITCHES + 3));
    let one = of(VSwitchFilter::Id(site::SMALL_VSWITCH.into())).await.remove(0);
    assert_eq!((one.zone.as_str(), one.vpc.as_str()), (site::ZONE, site::VPC));
    assert_eq!(one.cidr.to_string(), "10.0.4.0/28");
    assert!((11..=13).contains(&one.available), "sixteen less the reserved four, give or take: {one:?}");
    assert_eq!(of(VSwitchFilter::Id("vsw-none".into())).await, []);
    assert_eq!(of(VSwitchFilter::OfVpc("vpc-none".into())).await, []);
}

pub(super) async fn security_groups_are_found_by_id(on: Ground) {
    let ids = [site::GROUP.into(), "sg-none".into()];
    let found = on.cloud.describe_security_groups(&ids).await.expect("a listing");
    assert_eq!(found.len(), 1, "unknown ids give no row: {found:?}");
    assert_eq!(found[0].id.as_str(), site::GROUP);
    assert_eq!((found[0].name.as_str(), found[0].vpc.as_str()), ("pods", site::VPC));
}

pub(super) async fn types_tell_their_quotas(on: Ground) {
    let limits = on.cloud.describe_instance_type(&site::TYPE.into()).await.expect("a type");
    assert_eq!(limits.eni_quantity, 4);
    assert_eq!(limits.eni_private_ip_address_quantity, 15);
    assert_eq!(limits.eni_ipv6_address_quantity, 15);
    let unknown = on.cloud.describe_instance_type(&"ecs.none.large".into()).await;
    refused(unknown, "InvalidParameter", Fatal);
}

pub(super) async fn the_vpc_has_its_route_table(on: Ground) {
    let tables =
        async |vpc: &str| all(async |next| on.cloud.describe_route_tables(&vpc.into(), next).await).await;
    let table = tables(site::VPC).await.remove(0);
    assert_eq!((table.id.as_str(), table.vpc.as_str(), table.system), (site::TABLE, site::VPC, true));
    assert_eq!(tables("vpc-none").await, []);
}

pub(super) async fn too_many_ids_are_refused(on: Ground) {
    let ids = (0..=DESCRIBE_IDS_MAX).map(|index| format!("eni-{index}").into()).collect();
    refused(on.cloud.describe_enis(&EniFilter::Ids(ids), None).await, "InvalidParameter", Fatal);
    let ids: Vec<_> = (0..=DESCRIBE_IDS_MAX).map(|index| format!("sg-{index}").into()).collect();
    refused(on.cloud.describe_security_groups(&ids).await, "InvalidParameter", Fatal);
}
