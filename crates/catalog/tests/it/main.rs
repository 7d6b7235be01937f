//! One suite of promises, kept on every catalog database.

mod audit;
mod changes;
mod commits;
mod conflicts;
#[cfg(feature = "failpoints")]
mod crash;
mod cut;
mod endings;
mod events;
mod evolution;
mod files;
mod fixture;
mod grants;
mod history;
mod holds;
mod inline;
mod layout;
mod ledger;
mod lineage;
mod model;
mod objects;
mod pipelines;
mod postgres;
mod publications;
mod runs;
mod serial;
mod sqlite;
mod tasks;
mod tenants;
mod tokens;

/// Makes a test of each promise for the database whose fixture `$start` gives (`None`: not to be had here).
macro_rules! promises {
    ($start:path; $($module:ident :: $promise:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            if let Some(fixture) = $start().await {
                crate::$module::$promise(fixture).await;
            }
        }
    )+};
}

macro_rules! all_promises {
    ($start:path) => {
        #[cfg(feature = "failpoints")]
        crate::promises!($start;
            crash::a_commit_whose_answer_was_lost_is_applied_once,
            crash::a_crash_before_commit_leaves_nothing,
            crash::committers_that_fail_at_any_step_end_in_some_serial_order,
        );
        crate::promises!($start;
            changes::changes_are_told_by_transaction,
            changes::a_commit_is_found_by_its_id,
            changes::changes_below_the_floor_are_refused_with_it,
            pipelines::a_pipeline_leaves_nothing_behind,
            pipelines::a_pipeline_runs_by_its_owner_while_there_is_one,
            commits::a_created_table_takes_files_and_shows_them,
            commits::sixty_four_writers_lose_nothing_and_number_densely,
            commits::one_commit_creates_a_table_and_fills_it,
            commits::a_failed_commit_changes_nothing_and_uses_no_number,
            commits::the_same_commit_offered_again_answers_its_first_number,
            commits::columns_added_at_once_agree_or_conflict,
            commits::tags_extend_the_sort_order_that_ingest_made,
            commits::a_column_widens_only_where_every_value_fits,
            commits::a_change_that_read_the_table_conflicts_with_later_rows_only,
            commits::limits_have_names,
            commits::a_commit_after_stop_is_refused_and_one_before_it_is_done,
            conflicts::updates_of_other_rows_go_together_and_of_the_same_do_not,
            conflicts::a_rewrite_planned_before_row_lineage_was_turned_on_is_discarded,
            conflicts::concurrent_updates_of_one_row_have_one_winner,
            conflicts::a_file_that_an_update_emptied_is_planned_again,
            conflicts::a_region_that_was_read_conflicts_with_rows_that_came_into_it,
            conflicts::two_upserts_of_one_new_key_insert_it_once,
            conflicts::files_that_were_read_conflict_with_changes_of_their_rows_only,
            conflicts::a_replacement_stands_for_its_region_as_it_was,
            evolution::all_changes_of_a_statement_are_one_and_survive_a_restart,
            evolution::a_dropped_name_comes_back_as_another_column,
            evolution::a_change_planned_on_an_older_definition_is_planned_again,
            evolution::files_of_earlier_specs_are_taken_and_numbers_never_repeat,
            evolution::rows_planned_before_a_rule_do_not_break_it,
            evolution::a_table_moves_to_another_schema,
            files::deletes_of_one_file_are_merged_and_counted_once,
            events::every_change_of_an_object_is_told_in_its_commit,
            events::a_reader_of_small_pages_meets_every_commit_once_and_in_order,
            events::a_purged_table_is_still_told_of,
            events::old_events_go_and_who_is_behind_them_is_told_so,
            files::a_file_whose_rows_are_all_deleted_is_retired,
            files::a_rewrite_of_changed_inputs_is_discarded,
            files::deletes_after_a_rewrite_must_be_planned_again,
            files::expiry_skips_what_is_gone,
            files::a_rewrite_keeps_the_number_of_rows,
            files::a_damaged_vector_is_an_error_that_names_its_file,
            files::windows_leave_out_files_outside_them,
            files::a_node_that_writes_alone_plans_without_the_database,
            files::paths_and_tuples_are_checked,
            files::purge_queues_what_no_version_needs,
            files::purge_of_a_dropped_table_leaves_nothing,
            files::only_tables_with_something_to_purge_are_collectable,
            history::every_version_shows_the_files_of_its_time,
            history::names_follow_time,
            history::a_time_names_the_last_version_not_after_it,
            history::a_restart_keeps_everything,
            history::times_increase_though_the_clock_goes_back,
            history::two_handles_see_each_other,
            history::news_wake_who_waits,
            holds::a_tag_keeps_its_version_and_no_other,
            holds::a_tag_of_the_catalog_keeps_all_tables_until_it_expires,
            holds::a_hold_keeps_what_follows_for_a_week_at_most,
            holds::a_dropped_table_comes_back_as_it_was,
            holds::a_table_is_put_back_to_a_version_with_its_row_ids,
            holds::a_dropped_producer_begins_anew,
            inline::an_inline_batch_keeps_its_rows_through_a_restart,
            inline::inline_batches_are_counted_as_they_come_and_go,
            inline::a_batch_that_is_brought_back_has_its_rows_and_those_that_nothing_needs_go,
            inline::an_inline_batch_without_what_it_needs_is_refused,
            ledger::one_epoch_of_two_tasks_has_one_effect,
            ledger::a_claim_fences_earlier_holders,
            ledger::an_old_epoch_leaves_out_its_table_only,
            ledger::epochs_are_found_by_transaction,
            ledger::old_epochs_leave_the_log_but_stay_applied,
            ledger::a_key_is_forgotten_after_a_day_and_no_other_producer,
            ledger::who_loses_the_lease_commits_nothing,
            lineage::the_graph_in_memory_follows_every_commit,
            lineage::columns_are_walked_as_they_were_at_a_transaction,
            objects::a_commit_that_expects_another_object_is_refused_whole,
            objects::names_are_taken_once,
            objects::schemas_are_dropped_with_their_tables_only_by_cascade,
            objects::or_replace_takes_the_name_over,
            objects::if_not_exists_skips_the_rows_too,
            objects::views_are_not_tables,
            objects::a_rename_keeps_the_table,
            objects::options_are_set_and_taken_off,
            layout::an_older_catalog_gets_what_it_lacks,
            publications::numbers_are_dense_and_an_older_publisher_is_fenced,
            publications::a_publication_wakes_who_waits_for_its_transaction,
            publications::all_is_read_as_of_one_head_sorted_and_without_what_changes_by_ingest,
            publications::a_replaced_key_verifies_for_an_hour,
            runs::one_subject_is_worked_on_once_and_by_so_many_at_most,
            runs::a_run_is_ended_once_and_by_who_claimed_it,
            runs::what_a_dead_process_held_is_swept_by_the_next,
            runs::jobs_are_made_once_and_held_still_by_hand,
            runs::ended_runs_are_forgotten_in_time,
            runs::a_start_of_a_pipeline_is_a_run_that_the_next_start_ends,
            serial::updates_deletes_upserts_and_rewrites_end_in_some_serial_order,
            serial::one_epoch_of_two_processes_has_one_effect,
            tasks::a_task_is_claimed_once_and_ended_by_its_attempt_only,
            tasks::what_follows_a_failure_is_skipped_and_its_cause_named,
            tasks::a_success_is_one_commit_with_its_rows_lineage_and_results,
            tasks::a_trigger_fires_once_however_many_try,
            tasks::an_asset_is_changed_as_it_was_read_and_runs_need_theirs,
            endings::what_dead_processes_held_is_given_back_three_times,
            endings::a_run_that_is_cancelled_ends_with_what_is_given_back,
            endings::random_endings_make_only_legal_changes,
            tasks::parts_of_an_asset_are_rows_of_the_commit_that_makes_them,
            tasks::a_run_is_held_goes_on_and_has_its_time_and_its_width,
            tasks::what_a_task_did_is_known_as_long_as_its_run,
            tasks::rows_that_a_check_refused_stay_for_a_day_and_then_are_collected,
            tenants::equal_names_of_two_tenants_stay_apart,
            tenants::system_tables_have_their_declared_columns,
            tenants::a_dropped_tenant_is_forgotten_and_its_number_never_given_again,
            tenants::a_suspended_tenant_lets_nobody_in_and_loses_nothing,
            tenants::the_first_admin_operates_and_no_other,
            model::random_commits_leave_what_a_plain_model_says,
            audit::the_same_refusal_is_counted_and_old_rows_go,
            audit::what_a_stranger_says_fills_neither_queue_nor_table,
            grants::a_grant_follows_its_object_and_never_its_name,
            grants::rights_of_roles_end_with_role_member_and_token,
            grants::who_makes_an_object_manages_it_and_no_other,
            grants::another_tenants_grants_are_none_of_mine,
            grants::nothing_is_granted_to_or_on_what_is_gone,
            grants::a_change_of_rights_holds_though_who_made_it_has_left,
            tokens::a_secret_proves_its_token_until_it_changes,
            tokens::the_last_admin_stays,
            tokens::a_token_that_is_switched_off_stays_out_though_who_did_it_has_left,
            tokens::scram_answers_the_same_for_unknown_users,
            tokens::last_use_is_noted,
        );
    };
}
use {all_promises, promises};
