//! Route entries.

use std::collections::BTreeSet;

use terway_core::cloud::{
    NextHop,
    RetryClass::{AlreadyDone, Converge, Fatal, Transient},
    RouteEntry, RouteStatus,
};

use crate::{
    ground::{Ground, refused, route, v4},
    site,
};

async fn settled(on: &Ground, destination: &str) -> RouteEntry {
    on.until(&format!("the route for {destination} is there"), || async {
        let routes = on.routes().await;
        routes.into_iter().find(|entry| {
            entry.destination.to_string() == destination && entry.status == RouteStatus::Available
        })
    })
    .await
}

pub(super) async fn a_route_is_made_and_deleted(on: Ground) {
    let id = on.cloud.create_route_entry(&route("r", "172.16.1.0/24", site::NODE)).await.expect("room");
    let entry = settled(&on, "172.16.1.0/24").await;
    assert_eq!((&entry.id, entry.table.as_str(), entry.custom), (&id, site::TABLE, true));
    assert_eq!(entry.next_hop, Some(NextHop::Instance(site::NODE.into())));
    on.cloud.delete_route_entry(&entry).await.expect("it is there");
    on.until("it is gone", || async { on.routes().await.iter().all(|left| left.id != id).then_some(()) })
        .await;
    refused_gone(on.cloud.delete_route_entry(&entry).await);
    let eni = on.made("t", v4(1)).await;
    let mut request = route("s", "172.16.2.0/24", site::NODE);
    request.next_hop = NextHop::NetworkInterface(eni.id.clone());
    on.cloud.create_route_entry(&request).await.expect("an ENI is a next hop too");
    assert_eq!(settled(&on, "172.16.2.0/24").await.next_hop, Some(NextHop::NetworkInterface(eni.id)));
}

#[track_caller]
fn refused_gone(outcome: Result<(), terway_core::cloud::CloudError>) {
    assert_eq!(outcome.expect_err("it is gone").class, AlreadyDone);
}

pub(super) async fn a_vpc_takes_one_change_at_a_time(on: Ground) {
    on.cloud.create_route_entry(&route("a", "172.16.1.0/24", site::NODE)).await.expect("room");
    let second = on.cloud.create_route_entry(&route("b", "172.16.2.0/24", site::NODE)).await;
    // A cloud that settles at once is at rest again already.
    if let Err(error) = second {
        assert_eq!((error.code.as_str(), error.class), ("TaskConflict", Transient), "{error}");
    }
    settled(&on, "172.16.1.0/24").await;
    on.until("the second is taken", || async {
        on.cloud.create_route_entry(&route("b", "172.16.2.0/24", site::NODE)).await.ok()
    })
    .await;
    settled(&on, "172.16.2.0/24").await;
}

pub(super) async fn routes_that_cannot_be_are_refused(on: Ground) {
    let make = async |destination: &str, instance: &str| {
        on.cloud.create_route_entry(&route("r", destination, instance)).await
    };
    refused(make("10.0.0.0/24", site::NODE).await, "InvalidCidrBlock", Fatal);
    refused(make("100.64.1.0/24", site::NODE).await, "InvalidCidrBlock", Fatal);
    refused(make("172.16.0.0/24", "i-none").await, "InvalidInstanceId.NotFound", Converge);
    let mut nowhere = route("r", "172.16.0.0/24", site::NODE);
    nowhere.table = "vtb-none".into();
    refused(on.cloud.create_route_entry(&nowhere).await, "InvalidRouteTableId.NotFound", Fatal);
    let listing = on.cloud.describe_route_entries(&"vtb-none".into(), None).await;
    refused(listing, "InvalidRouteTableId.NotFound", Fatal);
    on.cloud.create_route_entry(&route("r", "172.16.0.0/24", site::NODE)).await.expect("room");
    settled(&on, "172.16.0.0/24").await;
    let twice = on.cloud.create_route_entry(&route("s", "172.16.0.0/24", site::OTHER_NODE)).await;
    refused(twice, "RouterEntryConflict.Duplicated", Converge);
}

pub(super) async fn the_clouds_own_routes_stay(on: Ground) {
    let own = on.routes().await.into_iter().find(|entry| !entry.custom).expect("one for each vSwitch");
    assert_eq!(own.next_hop, None);
    let refusal = on.cloud.delete_route_entry(&own).await;
    refused(refusal, "OperationDenied.DeleteManagedRouteEntry", Fatal);
}

pub(super) async fn routes_come_in_pages(on: Ground) {
    // One for each vSwitch is there already.
    let more = 100 - site::MORE_VSWITCHES;
    for index in 0..more {
        let destination = format!("172.17.{index}.0/24");
        on.until("the VPC is at rest", || async {
            let request = route(&format!("r{index}"), &destination, site::NODE);
            on.cloud.create_route_entry(&request).await.ok()
        })
        .await;
    }
    let rows = on.routes().await;
    let ids: BTreeSet<_> = rows.iter().map(|row| row.id.clone()).collect();
    let expected = site::MORE_VSWITCHES + 3 + more;
    assert_eq!((rows.len(), ids.len()), (expected, expected), "each once");
}
