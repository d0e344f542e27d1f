//! One case's footing: what most cases do, in a line each.

use std::{future::Future, net::Ipv4Addr, sync::Arc, time::Duration};

use terway_core::{
    address::{AddressCount, AddressSet},
    cloud::{
        Assign, Cloud, CloudError, CreateEni, CreateRoute, Eni, EniFilter, EniStatus, NextHop, Page,
        RetryClass, RouteEntry, TAG_CREATOR, TAG_INSTANCE,
    },
    id::{EniId, InstanceId},
};
use tokio::time::sleep;

use crate::{
    rig::{Lever, Rig},
    site,
};

/// How often a case looks for what it waits for, in parts of the longest time.
const LOOKS: u32 = 50;

/// A rig in use.
pub struct Ground {
    rig: Arc<dyn Rig>,
    /// The port.
    pub cloud: Arc<dyn Cloud>,
    /// The node that calls.
    pub node: InstanceId,
}

impl Ground {
    /// The footing on a fresh rig.
    pub fn new(rig: Arc<dyn Rig>) -> Self {
        Self { cloud: rig.cloud(), node: site::NODE.into(), rig }
    }

    /// The port as [`Rig::bare`] gives it.
    pub fn bare(&self) -> Arc<dyn Cloud> {
        self.rig.bare()
    }

    /// Pulls a lever.
    pub async fn pull(&self, lever: Lever) {
        self.rig.pull(lever).await;
    }

    /// The longest time that a transition takes.
    pub fn settles(&self) -> Duration {
        self.rig.settles()
    }

    /// Looks again and again until there is something, for three times as long as a transition takes.
    pub async fn until<T, F>(&self, what: &str, mut look: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let pause = self.rig.settles() / LOOKS;
        for _ in 0..3 * LOOKS {
            if let Some(found) = look().await {
                return found;
            }
            sleep(pause).await;
        }
        panic!("not within three times {:?}: {what}", self.rig.settles());
    }

    /// An ENI in [`site::VSWITCH`] for [`site::NODE`].
    pub async fn made(&self, token: &str, count: AddressCount) -> Eni {
        self.cloud.create_eni(&create(token, count)).await.expect("an ENI can be made")
    }

    /// The same, attached and in use.
    pub async fn attached(&self, token: &str, count: AddressCount) -> Eni {
        let eni = self.made(token, count).await;
        self.cloud.attach_eni(&eni.id, &self.node).await.expect("it can be attached");
        self.in_state(&eni.id, EniStatus::InUse).await
    }

    /// Waits until an ENI is described in a state.
    pub async fn in_state(&self, id: &EniId, status: EniStatus) -> Eni {
        self.until(&format!("{id} is {status:?}"), || async {
            self.eni(id).await.filter(|eni| eni.status == status)
        })
        .await
    }

    /// Waits until an ENI is no longer described.
    pub async fn gone(&self, id: &EniId) {
        self.until(&format!("{id} is gone"), || async { self.eni(id).await.is_none().then_some(()) }).await;
    }

    /// An ENI as described.
    pub async fn eni(&self, id: &EniId) -> Option<Eni> {
        let page = self.cloud.describe_enis(&EniFilter::Ids(vec![id.clone()]), None).await;
        let mut rows = page.expect("ENIs can be described").rows;
        assert!(rows.len() <= 1, "one id, one row: {rows:?}");
        rows.pop()
    }

    /// All pages of ENIs.
    pub async fn enis(&self, filter: &EniFilter) -> Vec<Eni> {
        all(async |next| self.cloud.describe_enis(filter, next).await).await
    }

    /// All entries of [`site::TABLE`].
    pub async fn routes(&self) -> Vec<RouteEntry> {
        all(async |next| self.cloud.describe_route_entries(&site::TABLE.into(), next).await).await
    }
}

/// All pages of a listing.
pub async fn all<T>(mut page: impl AsyncFnMut(Option<String>) -> Result<Page<T>, CloudError>) -> Vec<T> {
    let (mut rows, mut next) = (Vec::new(), None);
    loop {
        let page = page(next).await.expect("a page");
        rows.extend(page.rows);
        next = page.next;
        if next.is_none() {
            return rows;
        }
    }
}

/// So many IPv4 addresses.
pub fn v4(count: u32) -> AddressCount {
    AddressCount { v4: count, ..AddressCount::default() }
}

/// So many IPv6 addresses.
pub fn v6(count: u32) -> AddressCount {
    AddressCount { v6: count, ..AddressCount::default() }
}

/// So many prefixes.
pub fn prefixes(count: u32) -> AddressCount {
    AddressCount { prefixes: count, ..AddressCount::default() }
}

/// A request for an ENI in [`site::VSWITCH`] for [`site::NODE`].
pub fn create(token: &str, count: AddressCount) -> CreateEni {
    CreateEni {
        token: token.into(),
        vswitch: site::VSWITCH.into(),
        security_groups: vec![site::GROUP.into()],
        count,
        tags: vec![(TAG_CREATOR.0.into(), TAG_CREATOR.1.into()), (TAG_INSTANCE.into(), site::NODE.into())],
    }
}

/// A request for addresses.
pub fn assign(token: &str, eni: &Eni, count: AddressCount) -> Assign {
    Assign { token: token.into(), eni: eni.id.clone(), count }
}

/// A request for a route to an instance.
pub fn route(token: &str, destination: &str, instance: &str) -> CreateRoute {
    CreateRoute {
        token: token.into(),
        table: site::TABLE.into(),
        destination: destination.parse().expect("a block"),
        next_hop: NextHop::Instance(instance.into()),
    }
}

/// A set of single IPv4 addresses.
pub fn singles(addresses: &[Ipv4Addr]) -> AddressSet {
    AddressSet { v4: addresses.to_vec(), ..AddressSet::default() }
}

/// A call must have been refused with this code and class. Every refusal carries the cloud's request id and
/// says something.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, CloudError>, code: &str, class: RetryClass) {
    let error = outcome.expect_err(code);
    assert_eq!((error.code.as_str(), error.class), (code, class), "{error}");
    assert!(!error.message.is_empty(), "{error:?} says nothing");
    assert!(error.request_id.len() > 1, "{error:?} has no request id");
}
