"""SEED, "Status of Backup": asked on both pools, and true on either."""

from __future__ import annotations

from poolpair.model import Channel, ExportStatus, ImportStatus
from poolpair.status import PairStatus, Reason
from tests.pair import Pair
from tests.seed.experiment import EDIT, Seen

GREEN = (ExportStatus.FINAL, ExportStatus.STEADY)


def silent(found: PairStatus) -> bool:
    """Whether every channel says that the partner is silent, and none is green."""
    return all(
        channel.export.reason is Reason.PARTNER_SILENT and channel.export.status not in GREEN
        for channel in found.channels
    )


def test_it_is_critical_that_you_run_it_on_both_pools_involved_in_the_pair(experiment: Seen) -> None:
    """Seed: "when you use the get-csbackupservicestatus command [...] run it on both pools": each names itself and its partner."""
    for look in (experiment.at_rest, experiment.stopped, experiment.started_again):
        assert {pool: (said.json["pool"], said.json["partner"]) for pool, said in look.status.items()} == {
            "a": ("a", "b"),
            "b": ("b", "a"),
        }
    assert experiment.at_rest.status["a"].exit_status == experiment.at_rest.status["b"].exit_status == 0
    assert experiment.stopped.status["b"].exit_status == 3


def test_the_export_status_is_in_a_steady_state_and_the_import_status_is_normal(pair: Pair) -> None:
    """Seed: "the export status [...] is in a steady state. And the import status [...] is normal": always, while both run."""
    pair.live(10)
    for _ in range(120):
        pair.live(5, step_s=5)
        for pool in ("a", "b"):
            found = pair.status(pool)
            assert found.exit_status == 0
            for channel in found.channels:
                assert channel.export.status in GREEN
                assert channel.imports.status is channel.export.partner_import is ImportStatus.NORMAL


def test_it_tells_whether_the_partner_has_actually_done_anything_with_that_information(experiment: Seen) -> None:
    """Seed: "What is doesn't tell me is that the LyncFE04 server has actually done anything with that information"; here it does."""
    said = experiment.stopped.status["a"]
    export = said.export()
    marks = export["watermarks"]
    assert export["status"] != "FinalState"
    assert export["in_flight"] == 1
    assert export["in_flight_bytes"] == len(experiment.package_bytes)
    assert marks["acknowledged"] == marks["applied"] == marks["delivered"] - 1
    assert "1 package" in said.text
    assert "NOT acknowledged" in said.text
    after = experiment.started_again.status["a"].export()["watermarks"]
    assert after["acknowledged"] == after["applied"] == after["captured"] >= marks["delivered"]


def test_the_second_command_says_that_the_backup_service_is_down(experiment: Seen) -> None:
    """Seed: "The second command which bleed red all over the screen is the fact that the backup service is down": B says it."""
    said = experiment.stopped.status["b"]
    assert said.exit_status == 3
    assert said.json["service_running"] is False
    assert said.text.splitlines()[0].startswith("pool b: the service is DOWN")
    assert "no service runs for this pool" in said.text
    red_and_bold = "\x1b[1;31m"
    assert red_and_bold in said.coloured.splitlines()[0]
    assert red_and_bold not in experiment.at_rest.status["b"].coloured
    # What waits in its share is said too, and who does not work on it.
    assert "1 package" in said.text
    assert "in the own share, not applied" in said.text


def test_once_i_start_the_backup_service_again_both_sides_reach_the_final_state(experiment: Seen) -> None:
    """Seed: "Once I start the backup service again on LyncFE04 [...]": both sides are in FinalState on every module."""
    for said in experiment.started_again.status.values():
        assert said.exit_status == 0
        assert said.states() == ["FinalState", "FinalState"]


def test_with_the_services_stopped_status_is_never_green_after_thirty_seconds(pair: Pair) -> None:
    """Seed: "with my backup services stopped on lyncfe04 still, [...] steady state": not here, 31 s or ten minutes after B's stop."""
    pair.live(120)
    assert pair.status("a").exit_status == 0
    pair.stop("b")
    said: dict[int, PairStatus] = {}
    for second in range(1, 601):
        pair.live(1)
        said[second] = pair.status("a")
    # The word may be older than the silence, never younger.
    assert all(found.word_age_s is not None and found.word_age_s >= second for second, found in said.items())
    assert [second for second, found in said.items() if second >= 30 and not silent(found)] == []
    assert {found.exit_status for second, found in said.items() if second >= 30} == {2}
    assert said[10].exit_status == 0
    assert silent(said[29]) == (said[29].word_age_s is not None and said[29].word_age_s >= 30)
    assert said[31].exit_status == said[600].exit_status == 2
    assert said[600].word_age_s is not None
    assert 600 <= said[600].word_age_s <= 620


def test_a_late_status_is_honest_though_something_was_sent_meanwhile(pair: Pair) -> None:
    """Seed: "What is doesn't tell me [...]": a change sent into the silence is never shown as acknowledged, and A alone is not B's word."""
    pair.live(60, step_s=5)
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    for seconds in (29, 2, 569):
        pair.live(seconds, step_s=seconds / 10)
        export = pair.channel("a", Channel.USERS).export
        assert export.status is not ExportStatus.FINAL
        assert export.watermarks.acknowledged < export.watermarks.delivered
    assert silent(pair.status("a"))
    pair.stop("a")
    assert pair.status("a").exit_status == 3
    pair.start("a")
    pair.live(60, step_s=5)
    restarted = pair.status("a")
    assert silent(restarted)
    assert restarted.word_age_s is None
    assert restarted.exit_status == 2
    pair.start("b")
    pair.live(60, step_s=5)
    assert pair.status("a").exit_status == pair.status("b").exit_status == 0
    assert pair.channel("a").export.status is ExportStatus.FINAL
