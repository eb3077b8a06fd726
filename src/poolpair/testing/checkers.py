"""The checkers by name. Each looks at the whole world after a step and says what is wrong, or nothing.

They read the committed documents and rows of both stores, the files in both trees and shares, and what `Truth` saw from outside. What
production code computes for people is used only to be held against the facts. `no_echo`, `nothing_is_applied_twice`,
`what_is_overruled_is_kept`, `what_stands_is_listed`, `mass_deletions_are_approved`, `a_row_never_comes_before_its_file` and
`a_clone_does_nothing` are checked where they happen (`watching`, `truth`, `check_applies`, `check_standing`, `machines`).
"""

from __future__ import annotations

from collections.abc import Callable

from poolpair.testing import (
    check_alarms,
    check_asks,
    check_copies,
    check_files,
    check_line,
    check_reach,
    check_serving,
    check_status,
    hooking,
)
from poolpair.testing.facts import Lines, Violation
from poolpair.testing.world import World

CHECKERS: tuple[Callable[[World, Lines], Violation | None], ...] = (
    check_alarms.alarms_are_true,
    check_line.watermarks_are_in_order,
    check_line.log_is_bounded,
    check_line.packages_leave_only_when_done,
    check_line.honest_packages_are_not_refused,
    check_line.foreign_writes_are_real,
    check_copies.nothing_acknowledged_is_lost,
    check_copies.copy_equals_origin_at_one_commit,
    check_copies.files_equal_origin_at_one_commit,
    check_copies.what_is_changed_here_is_set_aside,
    check_copies.nothing_is_pruned_before_acknowledged,
    check_copies.parked_rows_are_kept,
    check_status.status_is_never_greener_than_the_truth,
    check_reach.reach_is_true,
    check_status.silence_is_never_green,
    check_serving.one_pool_serves_per_epoch,
    check_serving.epochs_never_fall,
    check_serving.fence_is_what_serving_says,
    check_serving.a_home_is_handed_to_an_equal_copy,
    check_serving.every_accepted_write_is_accounted_for,
    check_serving.decisions_in_the_ledger_stand,
    check_asks.no_ask_is_carried_out_twice,
    check_files.every_accepted_file_is_accounted_for,
    hooking.no_plan_passes_its_hook,
)
NAMES = (
    "alarms_are_true",
    "nothing_escapes",
    "watermarks_are_in_order",
    "log_is_bounded",
    "packages_leave_only_when_done",
    "honest_packages_are_not_refused",
    "what_is_delivered_is_wanted",
    "foreign_writes_are_real",
    "nothing_acknowledged_is_lost",
    "nothing_is_applied_twice",
    "copy_equals_origin_at_one_commit",
    "files_equal_origin_at_one_commit",
    "a_row_never_comes_before_its_file",
    "mass_deletions_are_approved",
    "what_is_changed_here_is_set_aside",
    "nothing_is_pruned_before_acknowledged",
    "no_echo",
    "parked_rows_are_kept",
    "what_is_overruled_is_kept",
    "a_clone_does_nothing",
    "final_state_implies_equality",
    "status_is_never_greener_than_the_truth",
    "reach_is_true",
    "silence_is_never_green",
    "the_pair_comes_to_rest",
    "one_pool_serves_per_epoch",
    "epochs_never_fall",
    "fence_is_what_serving_says",
    "a_home_is_handed_to_an_equal_copy",
    "every_accepted_write_is_accounted_for",
    "decisions_in_the_ledger_stand",
    "what_stands_is_listed",
    "no_ask_is_carried_out_twice",
    "every_accepted_file_is_accounted_for",
    "no_plan_passes_its_hook",
)
"""Every checker; one that a soak never used is a failure of the soak."""
