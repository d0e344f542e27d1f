//! The cases, by what they are about.

mod address;
mod eni;
mod eventual;
mod listing;
mod route;
mod token;
mod transition;

macro_rules! cases {
    ($($module:ident: $($name:ident)+;)+) => {
        $($(
            #[doc = concat!("See `", stringify!($module), "::", stringify!($name), "`.")]
            pub fn $name(
                rig: std::sync::Arc<dyn crate::Rig>,
            ) -> std::pin::Pin<Box<dyn std::future::Future<Output = ()>>> {
                Box::pin($module::$name(crate::ground::Ground::new(rig)))
            }
        )+)+

        /// Every case by its name.
        pub const ALL: &[(&str, crate::Case)] = &[$($((stringify!($name), $name),)+)+];

        /// Makes a test of each case: `suite!(run)` calls `run(case)` in it, where `run` is a function that
        /// builds a rig and waits for the case.
        #[macro_export]
        macro_rules! suite {
            ($run:path) => {
                $($(
                    #[test]
                    fn $name() {
                        $run($crate::cases::$name);
                    }
                )+)+
            };
        }
    };
}

cases! {
    eni:
        an_eni_is_made_as_asked
        an_eni_is_not_made_of_what_is_not_there
        an_eni_is_not_made_of_too_much
        the_account_holds_no_more_enis_than_its_quota
        an_eni_goes_through_its_states_and_is_gone
        an_eni_is_attached_only_where_it_fits
        an_instance_takes_no_more_enis_than_its_type
        only_a_secondary_eni_that_is_attached_is_detached
        only_an_eni_that_is_available_is_deleted;
    address:
        addresses_come_and_go
        an_eni_takes_no_more_addresses_than_its_type
        prefixes_are_whole_and_take_a_slot_each
        ipv6_has_a_quota_of_its_own
        malformed_address_calls_are_refused
        only_secondary_addresses_are_taken_away
        an_exhausted_vswitch_gives_nothing
        addresses_change_only_at_rest;
    token:
        a_token_gives_its_eni_again
        a_token_gives_its_addresses_again
        a_token_gives_its_route_again
        a_token_is_for_one_request
        a_refused_request_leaves_its_token_free
        what_a_lost_answer_made_is_found_by_its_token
        what_a_failed_answer_made_is_found_by_its_token;
    listing:
        enis_are_found_by_id_instance_and_tag
        enis_come_in_pages
        vswitches_come_in_pages
        security_groups_are_found_by_id
        types_tell_their_quotas
        the_vpc_has_its_route_table
        too_many_ids_are_refused;
    route:
        a_route_is_made_and_deleted
        a_vpc_takes_one_change_at_a_time
        routes_that_cannot_be_are_refused
        the_clouds_own_routes_stay
        routes_come_in_pages;
    eventual:
        reads_may_tell_the_past
        a_partial_answer_names_what_was_given
        throttled_calls_do_nothing
        denied_calls_are_fatal;
    transition:
        a_stuck_attach_ends_when_asked_again
        a_stuck_delete_ends_when_asked_again
        an_instance_on_its_way_down_takes_no_eni;
}
