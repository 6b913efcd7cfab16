//! Key stores: one behaviour suite, mounted on every engine, and what is peculiar to each.

mod credentials;
pub mod engine;
mod entities;
mod file;
mod golden;
pub mod grpc;
mod guarded_writes;
mod life;
mod odd;
mod outages;
mod rivals;
mod suite;
mod wire;
mod writes;

/// Runs each behaviour on a fresh store of an engine, under the behaviour's own name.
macro_rules! tests {
    ($open:path; $behaviours:ident: $($name:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Some(engine) = $open() {
                crate::stores::$behaviours::$name(&engine).await;
            }
        }
    )+};
}

/// What every store does. A behaviour that is missing here is unused code.
macro_rules! every_store {
    ($open:path) => {
        tests! { $open; suite:
            a_created_integration_key_is_found_as_it_was_created,
            a_created_organization_key_is_found_with_its_holder,
            what_was_never_stored_is_absent,
            a_key_of_one_integration_is_absent_under_another,
            the_two_families_of_keys_do_not_see_each_other,
            only_the_word_active_is_active,
            only_lower_case_hex_is_a_hash,
            every_tier_of_64_bits_is_kept,
            of_several_holders_of_one_key_the_first_name_answers,
            names_are_taken_byte_for_byte,
            the_longest_names_are_held,
            an_integration_is_created_once,
            a_refused_integration_leaves_no_key_behind,
            an_integration_key_is_created_once,
            an_organization_is_created_once,
            an_organization_key_is_created_once,
            keys_for_nobody_are_refused,
            of_rival_integrations_one_stands_whole,
            of_rival_integration_keys_one_stands,
            of_rival_organizations_one_stands,
            a_caller_that_leaves_wedges_nothing,
        }
        tests! { $open; life:
            facts_are_read_with_the_key,
            every_fact_is_kept_as_it_was_written,
            the_stricter_of_facts_and_record_is_seen,
            facts_about_another_hash_are_ignored,
            facts_that_cannot_be_read_are_an_outage_and_can_be_replaced,
            a_revoked_organization_key_is_gone_and_its_facts_tell_why,
            a_credential_ends_under_every_organization_that_holds_it,
            a_list_comes_in_pages_without_gaps_and_in_order,
            a_single_record_is_the_one_of_the_list,
            a_record_is_replaced_only_in_the_version_that_was_read,
            organizations_are_replaced_and_their_keys_removed_with_care,
            facts_are_created_once,
        }
        tests! { $open; rivals:
            of_two_operators_one_succeeds_and_one_is_told,
            of_two_operators_on_an_organization_key_one_succeeds,
            of_two_imports_of_one_key_id_one_succeeds,
        }
    };
}

/// What every Datastore does: both emulators hold what the Go tools could write, and worse.
macro_rules! every_datastore {
    ($open:path) => {
        tests! { $open; entities:
            an_integration_is_written_as_the_go_tool_writes_it,
            an_organization_is_written_as_the_go_tools_write_it,
            missing_and_null_properties_are_zero_values,
            a_property_of_another_type_makes_a_key_unusable,
            a_property_that_no_reader_knows_makes_a_key_unusable,
            what_is_not_indexed_is_read_all_the_same,
            an_orphan_is_found,
            records_in_other_namespaces_are_absent,
            the_key_property_counts_and_not_the_name,
            the_immediate_parent_holds_a_key,
            a_numbered_parent_has_no_name,
            a_key_without_a_parent_is_unusable,
            a_description_too_long_for_an_index_is_refused,
            an_orphan_is_not_overwritten,
        }
        tests! { $open; odd:
            the_defects_of_integration_keys_are_named,
            the_defects_of_organizations_and_their_keys_are_named,
            what_is_mended_is_written_as_the_go_tools_write_it,
            revoking_loses_nothing_of_a_record,
            facts_are_entities_of_our_own_kinds,
        }
        tests! { $open; golden:
            every_recorded_entity_is_answered_as_recorded,
        }
    };
}

mod sqlite {
    every_store!(crate::stores::engine::sqlite);
}

mod firestore {
    every_store!(crate::stores::engine::firestore);
    every_datastore!(crate::stores::engine::firestore);
}

mod datastore {
    every_store!(crate::stores::engine::datastore);
    every_datastore!(crate::stores::engine::datastore);
}
