"""Ways in which a simpler protocol loses what was accepted, each with the test that tells it on the production steps.

They came out of a review of the design with a small model, which lost writes or diverged in a quarter of its random histories. The
numbers are the review's. What a test guards against is broken on purpose by a mutant in `tests/mutation`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Told:
    """One story: its number, what goes wrong where the rule is not kept, and where it is told."""

    number: str
    story: str
    tests: tuple[str, ...]


FAILOVER, MOVES = "line/test_failover.py::test_", "line/test_failover_moves.py::test_"
SET_BACK, LEDGER = "line/test_failover_set_back.py::test_", "line/test_failover_ledger.py::test_"
LINE, CONFERENCES = "line/test_memory_line.py::test_", "line/test_conferences.py::test_"
CONTRACT, FENCE = "contract/test_store_failover.py::test_", "postgres/test_fence.py::test_"
UNIT, REIGNS = "unit/test_protocol.py::test_", "unit/test_reigns.py::test_"

STORIES = (
    Told(
        "1",
        "who wrote a group in a reign is asked of a log that acknowledgement prunes",
        (FAILOVER + "what_the_server_wrote_survives_its_own_acknowledgement",),
    ),
    Told(
        "2",
        "a second takeover comes before the first return was handed in",
        (
            FAILOVER + "a_second_takeover_settles_the_first_returns_spool",
            FAILOVER + "what_only_the_returned_pool_had_goes_out_again_when_it_serves_again",
        ),
    ),
    Told(
        "3",
        "a final package arrives at a partner that took over meanwhile, or never arrives",
        (
            MOVES + "a_final_package_that_comes_after_a_takeover_changes_nothing",
            MOVES + "a_final_package_that_is_lost_hands_nothing_over",
        ),
    ),
    Told(
        "4",
        "a pool serves because it heard that it does",
        (
            FAILOVER + "nobody_becomes_the_server_by_hearsay",
            MOVES + "nobody_serves_before_it_applied_the_final_package",
        ),
    ),
    Told("5a", "a pool missed a whole reign", (MOVES + "users_are_not_handed_back_before_their_old_pool_handed_in",)),
    Told("5b", "an epoch is used twice", (SET_BACK + "a_number_that_is_used_twice_is_another_reign",)),
    Told("5c", "several reigns were missed", (REIGNS + "of_several_reigns_that_were_missed_the_newest_counts",)),
    Told(
        "6a",
        "the taker had less than what was pruned",
        (SET_BACK + "a_taker_that_was_set_back_gets_what_it_had_acknowledged",),
    ),
    Told(
        "6b",
        "the dead site is rebuilt from a backup",
        (SET_BACK + "a_site_rebuilt_from_a_backup_reverts_nothing",),
    ),
    Told(
        "6c",
        "a writer stood on an older copy than it once had",
        (SET_BACK + "nothing_is_merged_from_who_wrote_on_an_older_copy",),
    ),
    Told(
        "7",
        "a copy is taken over that was never whole",
        (FAILOVER + "an_incomplete_copy_is_not_taken_for_the_whole",),
    ),
    Told(
        "8",
        "a transaction passed the fence before it rose, and commits after the spool was taken",
        (
            FENCE + "it_waits_for_who_writes_and_sees_what_they_wrote",
            FENCE + "a_transaction_whose_view_is_older_than_the_fence_meets_it",
        ),
    ),
    Told(
        "9a",
        "the ledger is destroyed with the server",
        (
            LEDGER + "what_was_handed_in_is_kept_until_its_entry_came_back",
            CONTRACT + "the_ledger_travels_with_its_home",
        ),
    ),
    Told(
        "9b",
        "a decision overwrites what was written since",
        (LEDGER + "a_group_that_was_written_since_is_not_decided_blindly",),
    ),
    Told("9c", "the entry sits where nobody may write", (LEDGER + "an_entry_follows_who_serves",)),
    Told(
        "10",
        "one channel hands over what another still owes",
        ("line/test_handover.py::test_meeting_files_are_drained_too",),
    ),
    Told(
        "11",
        "rows of a bucket are older than the position that they are said to have",
        (MOVES + "a_bucket_travels_with_all_that_was_written_before_it_was_read",),
    ),
    Told(
        "12",
        "a parked row is missing at the taker, whose comparison deletes the good one",
        (MOVES + "a_row_that_was_parked_survives_the_move", CONTRACT + "parked_groups_go_to_the_ledger_at_a_takeover"),
    ),
    Told(
        "13",
        "both sides think that a home is theirs, or nobody's",
        (
            "line/test_verify.py::test_rows_without_a_home_are_counted_and_never_green",
            "line/test_verify.py::test_homes_that_changed_are_compared_after_init",
        ),
    ),
    Told(
        "14",
        "what was merged or decided counts as an echo, and never flows back",
        (
            CONTRACT + "what_only_the_returned_pool_had_is_merged",
            SET_BACK + "a_site_rebuilt_from_a_backup_reverts_nothing",
        ),
    ),
    Told(
        "15",
        "a number is used again, or a position that a store made is forgotten",
        (
            "line/test_intents.py::test_old_intents_are_folded_and_still_known",
            "line/test_intents.py::test_a_store_restored_to_between_intent_and_view_knows_that_it_was_set_back",
        ),
    ),
    Told(
        "16",
        "nobody notices that the next package is gone",
        (
            LINE + "a_lost_package_is_cured_by_a_rewind",
            LINE + "a_package_of_a_lost_future_does_not_hide_that_another_is_lost",
            LINE + "of_several_that_follow_the_newest_is_applied",
        ),
    ),
    Told(
        "17",
        "who gives up a handover cannot know whether it was delivered",
        (MOVES + "who_gives_up_after_the_final_package_left_takes_over_again",),
    ),
    Told(
        "18",
        "a package is refused for a home that it does not carry",
        (FAILOVER + "a_package_is_refused_only_for_homes_whose_rows_it_carries",),
    ),
    Told(
        "19",
        "an old cookie looks like a copy that was set back",
        (SET_BACK + "an_old_word_is_no_set_back", UNIT + "an_older_word_is_a_replay_unless_fresh"),
    ),
    Told(
        "20",
        "a store that was set back is never fenced, or skips what it writes next",
        (
            SET_BACK + "a_site_rebuilt_from_a_backup_reverts_nothing",
            "postgres/test_standby.py::test_an_asynchronous_standby_is_a_store_set_back",
        ),
    ),
    Told(
        "21",
        "a starting pool takes an old word for a new one",
        ("line/test_gate.py::test_a_returning_pool_learns_of_the_takeover_before_anybody_writes",),
    ),
    Told(
        "22",
        "files have neither fence nor transaction",
        (
            CONFERENCES + "a_file_changed_at_the_copy_is_kept_aside",
            "line/test_file_recovery.py::test_what_is_written_while_the_fence_rises_is_handed_in",
        ),
    ),
    Told("24", "pools take each other over", (FAILOVER + "pools_that_take_each_other_over_swap_their_users",)),
    Told(
        "26a",
        "the target of a handover is set back during it",
        (FAILOVER + "a_home_is_handed_over_only_to_an_equal_copy",),
    ),
    Told(
        "26b",
        "the server forgets what was merged into it",
        (SET_BACK + "what_was_merged_into_a_store_that_forgot_it_is_handed_in_again",),
    ),
)
"""23 is about the central management store, which is not in this release; 25 is about words."""


@pytest.mark.parametrize("told", STORIES, ids=lambda told: told.number)
def test_each_story_is_told(told: Told) -> None:
    """Every test that is named is there: the list keeps up with the tests."""
    for name in told.tests:
        file, _, test = name.partition("::")
        functions = {
            node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)
        }
        assert test in functions, name
