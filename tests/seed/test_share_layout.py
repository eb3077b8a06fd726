"""SEED, "The Backup File Share": what lies in a pool's share."""

from __future__ import annotations

import io
from pathlib import Path

from poolpair.errors import Code
from poolpair.format.layout import TASK_ASSIGNMENT, folders
from poolpair.model import Channel, ExportStatus
from poolpair.share.directory import DirectoryOwnShare, DirectoryPartnerShare
from tests.pair import Pair
from tests.seed.experiment import EDIT, Seen

OURS = {"Temp", "Quarantine"}
"""Folders beside the original's; Temp is in the text too."""


def top_folders(share: Path) -> set[str]:
    """The folders at the top of a share."""
    return {path.name for path in share.iterdir() if path.is_dir()}


def test_the_heart_of_the_backup_process_is_the_file_share(pair: Pair) -> None:
    """Seed: "The heart of the backup process is the file share": without B's share nothing reaches B, with it all goes on."""
    away = pair.folder / "unmounted"
    pair.share("b").rename(away)
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.live(30)
    assert pair.rows("a") != pair.rows("b")
    export = pair.channel("a").export
    assert export.status is ExportStatus.ERROR
    assert export.fault is not None
    assert export.fault.code is Code.SHARE_MISSING
    away.rename(pair.share("b"))
    pair.settle()
    assert pair.rows("a") == pair.rows("b")
    assert pair.status("a").exit_status == pair.status("b").exit_status == 0


def test_here_we_see_four_folders(tmp_path: Path) -> None:
    """Seed: "Here we see four folders": CentralMgmt, ConfServices, TaskAssignment and UserServices where all is carried."""
    DirectoryOwnShare(tmp_path).prepare([*folders(Channel), str(Path(TASK_ASSIGNMENT).parent)])
    assert top_folders(tmp_path) - OURS == {"CentralMgmt", "ConfServices", "TaskAssignment", "UserServices"}


def test_if_the_servers_are_not_the_cms_server_you_will_not_see_this_folder(pair: Pair) -> None:
    """Seed: "If the servers in your pool pairing relationship are not the CMS server you will not see this folder"."""
    for pool in ("a", "b"):
        assert top_folders(pair.share(pool)) == {"ConfServices", "TaskAssignment", "UserServices", *OURS}


def test_confservices_are_for_the_replication_of_conference_data(pair: Pair) -> None:
    """Seed: "When an individual uploads an attachment [...] that same data is available on the far side": by ConfServices."""
    path = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "pre%2dloaded.bin"
    path.write_bytes(b"slides" * 999)
    pair.turn("a", force=True)
    (package,) = pair.package_files("b")
    assert package.parent == pair.share("b") / "ConfServices" / "Data" / "DataConfData"
    pair.settle()
    assert pair.files("b")[f"share%2ea%2eexample/http_file_share/{path.name}"] == b"slides" * 999


def test_userservices_are_for_the_replication_of_buddy_lists_and_conference_directory(pair: Pair) -> None:
    """Seed: "UserServices are for the replication of buddy lists, conference directory ID and other user services information"."""
    with pair.sql("a") as connection:
        connection.execute(EDIT)
        connection.execute(
            "INSERT INTO prosody VALUES ('rooms.a.example', '', 'persistent', 'new@rooms.a.example', 'boolean', 'true')"
        )
    pair.turn("a", force=True)
    (package,) = pair.package_files("b")
    assert package.parent == pair.share("b") / "UserServices" / "Data" / "PresenceFocusData"
    pair.settle()
    with pair.sql("b") as connection:
        found = connection.execute(
            "SELECT value FROM prosody WHERE value = 'edited' OR key = 'new@rooms.a.example' ORDER BY value"
        ).fetchall()
    assert found == [("edited",), ("true",)]


def test_what_is_located_in_that_folder_is_a_text_file_with_the_servers_name(experiment: Seen) -> None:
    """Seed: "What is located in that folder [TaskAssignment] is a text file with the servers name listed"."""
    assert {pool: text for pool, (text, _) in experiment.at_rest.tasks.items()} == {"a": "fe-a\n", "b": "fe-b\n"}


def test_its_contents_never_seem_to_change(experiment: Seen) -> None:
    """Seed: "It's contents never seem to change": same text, same time, after syncs, a stop and a start of each service."""
    for later in (experiment.stopped, experiment.after_more_syncs, experiment.started_again):
        assert later.tasks == experiment.at_rest.tasks


def test_a_temp_folder_is_exactly_what_you_would_expect_it_to_be_used_for(pair: Pair) -> None:
    """Seed: "Occasionally a Temp folder will also appear [...]": what is not whole yet lies there, and nothing after it is."""
    share, folder = pair.share("b"), "UserServices/Data/PresenceFocusData"
    seen: list[tuple[int, list[Path]]] = []

    class Source(io.BytesIO):
        """Half a megabyte at a time, with a look at the share before each."""

        def read(self, size: int | None = -1, /) -> bytes:
            seen.append((len(list((share / "Temp").iterdir())), list((share / folder).iterdir())))
            return super().read(1 << 19)

    DirectoryPartnerShare(share).deliver(Source(bytes(1 << 20)), folder, "whole.zip", "a-1.part")
    assert seen[1:] == [(1, [])] * (len(seen) - 1)
    assert len(seen) >= 3
    assert (share / folder / "whole.zip").stat().st_size == 1 << 20
    for pool in ("a", "b"):
        assert list((pair.share(pool) / "Temp").iterdir()) == []


def test_inside_of_each_of_these_folders_is_a_cookie_and_data_folder(pair: Pair) -> None:
    """Seed: "Inside of each of these folders is a Cookie and Data folder": one for each module, and nothing else."""
    for pool in ("a", "b"):
        for service, module in (("UserServices", "PresenceFocus"), ("ConfServices", "DataConf")):
            root = pair.share(pool) / service
            assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()} == {
                "Cookie",
                f"Cookie/{module}Cookie",
                "Data",
                f"Data/{module}Data",
            }


def test_the_data_folder_contains_the_actual_data_being_replicated(experiment: Seen) -> None:
    """Seed: "The data folder contains the actual data being replicated": the package that stood held the changed buddy list."""
    (package,) = experiment.stopped.packages["b"]
    assert package.startswith("UserServices/Data/PresenceFocusData/backup-")
    # One changed group: the roster of one user, whole.
    assert "carries      1 groups" in experiment.inspected
    assert "table        prosody: grouped by host, user, store" in experiment.inspected
    assert "every member opened" in experiment.inspected
