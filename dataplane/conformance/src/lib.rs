//! What every implementation of the port `HostNet` must do, as one suite: the simulator's model of a kernel and the
//! real one are held to it, so that what is learned in the simulator is true on a node.
//!
//! - [`Machine`]: what a test has in hand of a machine, besides the port.
//! - [`CASES`]: each a name and what must hold, on a machine of its own.
//! - `enis`, `pods`, `refusals`: the cases.

use std::{future::Future, io, pin::Pin};

use terway_core::{
    host::{HostNet, PodNet},
    id::{ContainerId, Mac},
};
use terway_dataplane::{op::NetOp, state::Side};

mod enis;
mod pods;
mod refusals;
mod sample;

/// A machine with at least one NIC, which nobody but the test works on.
pub trait Machine: Send + Sync {
    /// The port.
    fn net(&self) -> &dyn HostNet;
    /// A NIC appears: down, with nothing on it.
    fn plug(&self, mac: Mac);
    /// A NIC goes.
    fn unplug(&self, mac: Mac);
    /// The plugin's work for ADD, in a namespace made for the sandbox.
    fn add_pod(&self, pod: &PodNet) -> io::Result<()>;
    /// The sandbox's namespace goes, without the plugin.
    fn remove_sandbox(&self, container: &ContainerId);
    /// Somebody makes a change on the host.
    fn tamper(&self, op: &NetOp) -> io::Result<()>;
    /// All that is on the host. Settings are left out.
    fn host(&self) -> Side;
}

/// What a case comes to.
pub type Outcome<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case: it panics with what is wrong.
pub type Case = for<'a> fn(&'a dyn Machine) -> Outcome<'a>;

macro_rules! cases {
    ($($module:ident::$case:ident,)+) => {
        /// All cases.
        pub const CASES: &[(&str, Case)] = &[$((stringify!($case), |machine| Box::pin($module::$case(machine))),)+];
    };
}

cases! {
    enis::nics_are_told_sorted_and_their_coming_and_going_too,
    enis::an_eni_is_set_up_once_and_torn_down_to_nothing,
    enis::an_eni_that_is_not_there_is_not_found,
    enis::enis_of_one_vswitch_are_set_up_beside_each_other,
    enis::what_is_taken_from_an_eni_is_put_back,
    enis::an_eni_takes_along_what_is_on_it,
    pods::a_pods_endpoint_is_seen_with_its_sandbox_and_addresses,
    pods::a_new_pod_lacks_nothing_and_each_loss_is_found_and_mended,
    pods::a_pod_whose_eni_has_left_is_told_and_the_others_are_mended,
    pods::a_pod_whose_sandbox_is_gone_is_not_mended,
    pods::what_belongs_to_nobody_goes_and_what_is_foreign_stays,
    pods::owners_are_asked_for_after_the_look,
    pods::a_second_interface_of_a_sandbox_is_refused_and_the_first_is_untouched,
    pods::a_change_by_hand_is_noticed,
    refusals::what_is_there_already_is_refused,
    refusals::removing_what_is_not_there_changes_nothing,
    refusals::a_route_needs_a_link_that_is_up,
    refusals::a_link_that_goes_down_loses_its_routes_and_neighbours,
}
