"""SEED, "File Copy Process" and "So what did we learn": who copies, who consumes, and what can be read on the way."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from poolpair.cli.main import app
from poolpair.errors import Code, PoolpairError
from tests.pair import Pair, make_pair
from tests.seed.conftest import stop_all
from tests.seed.experiment import ASK, EDIT, Seen
from tests.seed.unprivileged import give_away, unprivileged

MEMBER = re.compile(r"header\.json|cookie|manifest|rows/\d{4}\.\d{4}|files/\d{4}")
PATH = re.compile(
    r"pool\.json|Temp/[ab]-[0-9a-f]{32}\.part|"
    r"(UserServices|ConfServices)/(Data/\w+Data/backup-[0-9a-f]{32}-\d{8}-[0-9a-f]{8}\.zip|Cookie/\w+Cookie/cookie\.zip)"
)


def value_at(pair: Pair, pool: str) -> object:
    """The buddy list entry that the tests change."""
    with pair.sql(pool) as connection:
        return connection.execute(ASK).fetchone()[0]


def test_the_backup_service_itself_is_responsible_for_both_the_file_copy_and_consumption(pair: Pair) -> None:
    """Seed: "This service is both actively copying data and consuming data": A's alone sends A's change and applies B's."""
    pair.stop("a")
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    with pair.sql("b") as connection:
        connection.execute(
            "DELETE FROM prosody WHERE user = 'napoleon' AND store = 'roster' AND key = 'myriel@a.example'"
        )
    pair.live(300, step_s=10)
    assert pair.package_files("b") == []
    assert len(pair.package_files("a")) == 1
    assert pair.rows("a") != pair.rows("b")
    pair.stop("b")
    pair.start("a")
    pair.turn("a")
    assert len(pair.package_files("b")) == 1
    assert pair.package_files("a") == []
    pair.start("b")
    pair.settle()
    assert pair.rows("a") == pair.rows("b")


def test_typically_the_folder_structure_will_be_empty_in_the_data_folder(pair: Pair, experiment: Seen) -> None:
    """Seed: "Typically the folder structure will be empty in the data folder": at rest and after each change."""
    for _ in range(3):
        with pair.sql("a") as connection:
            connection.execute("UPDATE prosody SET value = value || '.' WHERE user = 'myriel' AND store = 'roster'")
        pair.live(240, step_s=4)
        assert pair.package_files("a") == pair.package_files("b") == []
    assert pair.rows("a") == pair.rows("b")
    assert experiment.at_rest.packages == experiment.started_again.packages == {"a": [], "b": []}


def test_after_the_invoke_the_server_copies_the_file_to_its_partner(experiment: Seen) -> None:
    """Seed: "After the invoke, the LyncFE03 server copies the file from FE03 to FE04"; only that change, only that folder."""
    assert [str(Path(path).parent) for path in experiment.stopped.packages["b"]] == [
        "UserServices/Data/PresenceFocusData"
    ]
    assert experiment.stopped.packages["a"] == []
    # One changed buddy list is small beside the first copy.
    assert len(experiment.package_bytes) < 4096


def test_since_the_backup_service_is_stopped_they_remain_in_place(pair: Pair, experiment: Seen) -> None:
    """Seed: "Since the backup service is stopped the file share isn't being actively checked [...] so they remain in place"."""
    assert experiment.after_more_syncs.packages == experiment.stopped.packages
    assert experiment.after_more_syncs.value_at_b != "edited"
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.turn(force=True)
    (package,) = pair.package_files("b")
    content = package.read_bytes()
    for _ in range(6):
        pair.live(3600, step_s=120)
        pair.turn(force=True)
    assert pair.package_files("b") == [package]
    assert package.read_bytes() == content
    assert value_at(pair, "b") != "edited"


def test_the_server_writes_directly_into_the_partners_file_share(pair: Pair) -> None:
    """Seed: "LyncFE03 needs permissions to write directly into the LyncFE04 file share": nothing runs at B when it does."""
    pair.stop("b")
    before = {path for path in pair.folder.rglob("*") if "share-b" in path.parts or "data-b" in path.parts}
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.turn("a", force=True)
    after = {path for path in pair.folder.rglob("*") if "share-b" in path.parts or "data-b" in path.parts}
    assert after - before == set(pair.package_files("b"))
    assert before - after == set()
    assert len(after - before) == 1


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are closed to all but its user."""
    with tempfile.TemporaryDirectory(prefix="poolpair-seed-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def command(pair: Pair, *words: str) -> Result:
    """Run a command of A in this process, as the program does."""
    return CliRunner().invoke(app, ["-c", str(pair.toml("a")), *words])


@pytest.mark.parametrize(
    ("denied", "refusal"),
    [
        ("UserServices/Data/PresenceFocusData", "put files into UserServices/Data/PresenceFocusData"),
        ("Temp", "create files in Temp"),
        ("UserServices/Data", "enter UserServices/Data/PresenceFocusData"),
    ],
)
def test_the_server_needs_permissions_to_write_into_the_partners_file_share(
    reachable: Path, denied: str, refusal: str
) -> None:
    """Seed: "LyncFE03 needs permissions [...]": without one, sync and status name it and the folder; granted, all goes on."""
    pair = make_pair(reachable)
    for pool in ("a", "b"):
        pair.start(pool)
    pair.settle()
    stop_all(pair)
    command(pair, "sync")  # what the program imports late is imported now, while everything may be read
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    give_away(pair.share("a"), pair.folder / "data-a", pair.folder / "pair.key", pair.folder)
    for path in pair.share("b").rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    pair.share("b").chmod(0o755)
    (pair.share("b") / denied).chmod(0o644 if "enter" in refusal else 0o555)

    def try_it() -> str:
        done = command(pair, "sync")
        assert isinstance(done.exception, PoolpairError), done.output
        assert done.exception.code is Code.SHARE_DENIED
        return f"{done.exception.detail}\n{command(pair, 'status').output}"

    said = unprivileged(try_it)
    refused = f"this account may not {refusal} of the partner's share {pair.share('b')}"
    assert refused in said.partition("\n")[0]
    assert refused in said.partition("\n")[2]
    assert "ErrorState" in said
    assert pair.package_files("b") == []
    (pair.share("b") / denied).chmod(0o777)
    assert unprivileged(lambda: str(command(pair, "sync").exit_code)) == "0"
    assert len(pair.package_files("b")) == 1


def plain_words(pair: Pair) -> dict[bytes, str]:
    """Everything that must not be read in a share, and what it is."""
    words: dict[bytes, str] = {}
    for pool in ("a", "b"):
        with pair.sql(pool) as connection:
            rows = connection.execute("SELECT host, user, store, key, value FROM prosody").fetchall()
            texts = connection.execute('SELECT key, "with", value FROM prosodyarchive').fetchall()
        for host, user, store, key, value in rows:
            words |= {f"{user}@{host}".encode(): "JID", host.encode(): "host"} if user else {host.encode(): "host"}
            words |= {name.encode(): "user" for name in (user,) if len(name) > 5}
            if store == "accounts" and key in ("salt", "stored_key", "server_key"):
                words |= {value.encode(): key, value.replace("-", "").encode(): key}
            if "@" in key:
                words[key.encode()] = "JID"
        for key, jid, value in texts:
            words |= {key.encode(): "archive key", jid.encode(): "JID"} if jid else {key.encode(): "archive key"}
            words |= {name.encode(): "file name" for name in re.findall(r"filename='([^']+)'", value)}
            words |= {body.encode()[:24]: "message" for body in re.findall(r"<body>([^<]{8,})", value)}
        for name, content in pair.files(pool).items():
            words[Path(name).name.encode()] = "stored file name"
            words |= {content[at : at + 16]: f"content of {name}" for at in range(0, len(content) - 16, 997)}
    words |= {name.encode(): "table" for name in ("prosody", "prosodyarchive", "sort_id", "poolpair_document")}
    return {word: what for word, what in words.items() if len(word) >= 6 and len(set(word)) > 3}


def read_share(share: Path, words: dict[bytes, str], met: set[str]) -> None:
    """Read all that a visitor of the share can read: paths, zip directories, every byte."""
    for path in share.rglob("*"):
        if not path.is_file():
            continue
        name, content = str(path.relative_to(share)), path.read_bytes()
        assert PATH.fullmatch(name), name
        if path.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as opened:
                assert all(MEMBER.fullmatch(member) for member in opened.namelist()), opened.namelist()
                assert not opened.comment
                assert not any(each.comment for each in opened.infolist())
        found = {what for word, what in words.items() if word in content or word in name.encode()}
        assert not found, f"{name} can be read: {found}"
        met.add(f"{share.name}/{Path(name).parent.name}/{path.name.partition('-')[0]}")


def test_it_does_not_appear_anything_is_written_in_plain_text(tmp_path: Path) -> None:
    """Seed: "it doesn't appear anything is written in 'plain text'": no JID, salt, name, content or table in the whole first copy."""
    pair = make_pair(tmp_path)
    words = plain_words(pair)
    kinds = {what.partition(" of ")[0] for what in words.values()}
    assert {"JID", "salt", "stored_key", "file name", "stored file name", "content", "message", "table"} <= kinds
    stores = b"".join(pair.path(pool).read_bytes() for pool in ("a", "b"))
    for word in [b"myriel@a.example", b"usr_32.txt", b"prosodyarchive"]:
        assert word in words  # the words that are looked for are those
        assert word in stores  # that stand in the stores
    for pool in ("a", "b"):
        pair.start(pool)
    met: set[str] = set()
    for _ in range(40):
        pair.advance(10)
        for pool in ("a", "b"):
            pair.turn(pool, force=True)
            for share in ("a", "b"):
                read_share(pair.share(share), words, met)
    assert pair.rows("a") == pair.rows("b")
    assert pair.files("a") == pair.files("b")
    assert {name for name in met if name.endswith("/backup")} == {
        f"share-{pool}/{module}Data/backup" for pool in ("a", "b") for module in ("PresenceFocus", "DataConf")
    }
    stop_all(pair)


def test_the_backup_service_tracks_changes_and_writes_them_into_files_on_the_far_side(pair: Pair) -> None:
    """Seed: "The backup service appears to track changes to the blob store in the SQL database and writes that [...] into files"."""
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute(EDIT)
        connection.execute("UPDATE prosody SET value = value WHERE user = 'anzelma' AND store = 'accounts'")
    assert pair.channel("a").export.pending_groups == 2
    pair.turn("a", force=True)
    export = pair.channel("a").export
    assert (export.pending_groups, export.in_flight) == (0, 1)
    (package,) = pair.package_files("b")
    inspected = command(pair, "inspect", str(package)).output
    assert "carries      2 groups" in inspected
    assert export.in_flight_bytes == package.stat().st_size < 4096


def test_the_backup_service_is_going_to_monitor_its_own_file_share_and_write_into_its_own_database(pair: Pair) -> None:
    """Seed: "The backup service is going to monitor its own file share and write that information back into its own database"."""
    pair.stop("b")
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.turn("a", force=True)
    pair.stop("a")
    pair.start("b")
    pair.turn("b")
    assert value_at(pair, "b") == "edited"
    assert pair.package_files("b") == []


def test_once_i_start_the_service_again_the_backup_zip_file_disappears(experiment: Seen) -> None:
    """Seed: "Once I start the backup service again on LyncFE04 [...] the backup.zip file disappears": it was applied."""
    assert experiment.started_again.packages == {"a": [], "b": []}
    assert experiment.started_again.value_at_b == "edited"
