"""Watched files on a real disk: what is put where, what is kept, when the command runs; whatever goes wrong in between."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from poolpair.hooks.commands import CommandHooks
from poolpair.management.documents import Document
from poolpair.management.files import FILE, WatchedFiles, ask_again, put
from poolpair.management.replica import Replica
from poolpair.moves import HookStep
from poolpair.testing.clock import VirtualClock
from tests.unit.unprivileged import NOBODY, as_nobody, reachable_folder


@dataclass
class Server:
    """A server with one watched file, whose command notes each version, and fails while a file called `broken` is there."""

    folder: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    said: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """Where the file lies."""
        return self.folder / "conf" / "app.conf"

    def start(self) -> WatchedFiles:
        """As after a restart."""
        command = f'echo "$POOLPAIR_FILE $POOLPAIR_VERSION" >> {self.folder}/ran; test ! -e {self.folder}/broken'
        hooks = CommandHooks({HookStep.AFTER_CONFIGURE: ("/bin/sh", "-c", command)}, 10.0, self.folder, {})
        return WatchedFiles({"app.conf": self.place}, self.folder, hooks, {}, self.said.append, self.clock)

    def ran(self) -> list[str]:
        """What the command was told, each time."""
        path = self.folder / "ran"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A fresh one."""
    (tmp_path / "conf").mkdir()
    return Server(tmp_path)


def replica(version: int, body: str) -> Replica:
    """One in which the file has a version."""
    return Replica(term=0, serial=version, documents=(Document(name=f"{FILE}app.conf", version=version, body=body),))


def test_each_version_is_put_there_once_and_its_mode_stays(server: Server) -> None:
    """A new file is closed to others; the command runs once per version, also over a restart."""
    files = server.start()
    assert files.look(None) == ("app.conf: no such document was published",)
    assert files.look(replica(1, "one")) == ()
    assert stat.S_IMODE(server.place.stat().st_mode) == 0o640
    server.place.chmod(0o604)
    assert server.start().look(replica(1, "one")) == ()
    assert server.start().look(replica(2, "two")) == ()
    assert (server.place.read_text(), stat.S_IMODE(server.place.stat().st_mode)) == ("two", 0o604)
    assert server.ran() == ["app.conf 1", "app.conf 2"]
    assert [path.name for path in server.place.parent.iterdir()] == ["app.conf"]


def test_what_was_there_before_is_kept(server: Server) -> None:
    """A file that somebody wrote by hand before the first version came."""
    server.place.write_text("mine")
    assert server.start().look(replica(3, "theirs")) == ()
    assert server.place.read_text() == "theirs"
    assert (server.place.parent / "app.conf.before-3").read_text() == "mine"


def test_a_change_in_place_stays_until_a_newer_version_comes(server: Server) -> None:
    """It is named, over restarts too; then kept beside, under a name that was free."""
    server.start().look(replica(1, "one"))
    server.place.write_text("mine")
    for files in (server.start(), server.start()):
        (problem,) = files.look(replica(1, "one"))
        assert "changed here since version 1" in problem
    (server.place.parent / "app.conf.before-2").write_text("older")
    assert files.look(replica(2, "two")) == ()
    kept = sorted(path.name for path in server.place.parent.iterdir())
    assert kept == ["app.conf", "app.conf.before-2", "app.conf.before-2-2"]
    assert (server.place.parent / "app.conf.before-2-2").read_text() == "mine"
    assert server.ran() == ["app.conf 1", "app.conf 2"]


def test_the_published_one_is_taken_back_when_asked_for(server: Server) -> None:
    """And one that was deleted comes back by itself: nothing is lost by it."""
    files = server.start()
    files.look(replica(1, "one"))
    server.place.write_text("mine")
    files.look(replica(1, "one"))
    ask_again(server.folder, "app.conf")
    assert files.look(replica(1, "one")) == ()
    assert (server.place.parent / "app.conf.before-1").read_text() == "mine"
    server.place.unlink()
    files.look(replica(1, "one"))
    assert server.place.read_text() == "one"


def test_a_command_that_fails_runs_again(server: Server) -> None:
    """After a while, or with the next version; it is named meanwhile."""
    (server.folder / "broken").touch()
    files = server.start()
    (problem,) = files.look(replica(1, "one"))
    assert "after-configure ended with status 1" in problem
    assert files.look(replica(1, "one")) == (problem,)
    (server.folder / "broken").unlink()
    server.clock.advance(31)
    assert files.look(replica(1, "one")) == ()
    assert server.ran() == ["app.conf 1", "app.conf 1"]


def test_what_is_no_file_is_left_alone(server: Server) -> None:
    """A link could lead anywhere; a folder, or a place that is not there, is said."""
    elsewhere = server.folder / "elsewhere"
    elsewhere.write_text("not yours")
    server.place.symlink_to(elsewhere)
    (problem,) = server.start().look(replica(1, "one"))
    assert "no regular file" in problem
    assert elsewhere.read_text() == "not yours"
    server.place.unlink()
    server.place.parent.rmdir()
    (problem,) = server.start().look(replica(1, "one"))
    assert "No such file" in problem


def test_a_file_of_another_account_is_replaced_and_kept() -> None:
    """The kernel refuses a second name for what is somebody else's (fs.protected_hardlinks): a copy is kept, as open as it was."""
    document = Document(name=f"{FILE}app.conf", version=3, body="published")
    with reachable_folder() as folder:
        os.chown(folder, NOBODY, NOBODY)
        place = folder / "app.conf"
        place.write_text("of root")
        place.chmod(0o644)
        kept = Path(as_nobody(lambda: put(place, document, "")))
        assert kept == folder / "app.conf.before-3"
        assert (kept.read_text(), place.read_text()) == ("of root", "published")
        assert stat.S_IMODE(kept.stat().st_mode) == 0o644
        assert as_nobody(lambda: put(place, document, document.digest)) == "None"
        assert sorted(path.name for path in folder.iterdir()) == ["app.conf", "app.conf.before-3"]
