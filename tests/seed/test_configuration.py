"""SEED, "Configuration of Backup": two minutes, 100 MB, and how heavy all this is on the WAN."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolpair.lab.pool import run_command
from poolpair.model import Channel, ExportStatus
from poolpair.share.counted import CountedPartnerShare
from tests.pair import Pair, make_pair
from tests.seed.conftest import stop_all
from tests.seed.experiment import ASK, EDIT

IDLE_INTERVAL_MAX_BYTES = 5000
MIB = 1 << 20


def settings(text: str) -> dict[str, list[str]]:
    """What `config show` printed: per key its value, where it came from, and the original's name."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}


def test_by_default_your_backup_service_will_sync_information_every_two_minutes(tmp_path: Path) -> None:
    """Seed: "by default, your backup service will sync information every two minutes", and has "a maximum conference size of 100Mb"."""
    pair = make_pair(tmp_path)
    toml = pair.toml("a").read_text()
    pair.toml("a").write_text(toml.partition("[sync]")[0])
    shown = run_command("-c", str(pair.toml("a")), "config", "show")
    assert shown.exit_status == 0
    found = settings(shown.out)
    assert found["sync.interval"][:2] == ["2m", "default"]
    assert found["sync.conference_max"][:2] == ["100MiB", "default"]


def test_a_change_leaves_after_the_interval_and_not_before(slow_pair: Pair) -> None:
    """Seed: "will sync information every two minutes": with `eager = false` a change waits for that, and no longer."""
    for value in ("first", "second"):
        with slow_pair.sql("a") as connection:
            connection.execute(EDIT.replace("edited", value))
        slow_pair.live(119)
        with slow_pair.sql("b") as connection:
            assert connection.execute(ASK).fetchone()[0] != value
        assert slow_pair.package_files("b") == []
        assert slow_pair.channel("a").export.status is ExportStatus.STEADY
        slow_pair.live(1)
        with slow_pair.sql("b") as connection:
            assert connection.execute(ASK).fetchone()[0] == value
        slow_pair.turn()
    assert slow_pair.rows("a") == slow_pair.rows("b")


def test_a_change_never_waits_longer_than_the_interval(slow_pair: Pair) -> None:
    """Seed: "every two minutes": whenever in the interval a change falls, it has arrived two minutes later."""
    for number, wait_s in enumerate((7, 61, 118)):
        slow_pair.live(wait_s, step_s=wait_s)
        with slow_pair.sql("a") as connection:
            connection.execute(EDIT.replace("edited", f"change {number}"))
        slow_pair.live(121, step_s=5.5)
        with slow_pair.sql("b") as connection:
            assert connection.execute(ASK).fetchone()[0] == f"change {number}"


def test_it_has_a_maximum_conference_size_of_100mb(pair: Pair) -> None:
    """Seed: "it has a maximum conference size of 100Mb": one byte more waits and is named, all else goes on."""
    uploads = pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share"
    large, small = uploads / "large.bin", uploads / "small.bin"
    with large.open("wb") as file:
        os.truncate(file.fileno(), 100 * MIB + 1)
    small.write_bytes(b"small" * 100)
    pair.live(5)
    there = pair.folder / "data-b" / "share%2ea%2eexample" / "http_file_share"
    assert (there / "small.bin").read_bytes() == small.read_bytes()
    assert not (there / "large.bin").exists()
    assert pair.channel("a", Channel.CONFERENCES).export.left_behind == ("large",)
    assert pair.status("a").exit_status == 1
    with large.open("r+b") as file:
        os.truncate(file.fileno(), 100 * MIB)
    pair.live(250, step_s=10)
    assert (there / "large.bin").stat().st_size == 100 * MIB
    assert pair.channel("a", Channel.CONFERENCES).export.left_behind == ()
    assert pair.status("a").exit_status == 0
    large.unlink()  # pytest keeps folders for a while
    (there / "large.bin").unlink()


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("interval", '"30s"', "30s"),
        ("conference_max", '"7MiB"', "7MiB"),
        ("eager", "false", "false"),
        ("window", "3", "3"),
    ],
)
def test_you_can_configure_all_of_the_backup_settings(tmp_path: Path, key: str, value: str, shown: str) -> None:
    """Seed: "Remember, that you can configure all of the backup settings if you want": what the file says is what holds."""
    pair = make_pair(tmp_path)
    toml = pair.toml("a").read_text()
    pair.toml("a").write_text(f"{toml.partition('[sync]')[0]}[sync]\n{key} = {value}\n")
    (found,) = (each for each in pair.config("a").sources if each.key == f"sync.{key}")
    assert found.value == shown
    assert found.source != "default"


def test_the_backup_service_runs_when_pool_pairing_is_enabled(tmp_path: Path) -> None:
    """Seed: "The backup service runs as a service on front-end pools when pool pairing is enabled": without a partner it will not."""
    pair = make_pair(tmp_path)
    toml = pair.toml("a").read_text()
    head, _, rest = toml.partition("[partner]")
    pair.toml("a").write_text(head + "[homes]" + rest.partition("[homes]")[2])
    done = run_command("-c", str(pair.toml("a")), "run", "--allow-root")
    assert done.exit_status == 64
    assert "partner.pool" in done.talk or "[partner]" in done.talk


def counted(pair: Pair) -> dict[str, CountedPartnerShare]:
    """Count what each running pool writes into its partner's share."""
    counters = {}
    for pool, site in pair.sites.items():
        site.other = counters[pool] = CountedPartnerShare(site.other)
    return counters


def spent(counter: CountedPartnerShare) -> int:
    """Bytes written until now."""
    return counter.delivered.package_bytes + counter.delivered.cookie_bytes


def test_outside_of_the_initial_sync_the_process_is_not_heavy_on_the_wan(pair: Pair) -> None:
    """Seed: "outside of the initial sync, the process isn't overly heavy on the WAN": idle just after it, under 5 kB each way."""
    counters = counted(pair)
    pair.live(120, step_s=5)
    for _ in range(5):
        before = {pool: spent(counter) for pool, counter in counters.items()}
        packages = {pool: counter.delivered.packages for pool, counter in counters.items()}
        pair.live(120, step_s=5)
        for pool, counter in counters.items():
            used = spent(counter) - before[pool]
            assert 0 < used < IDLE_INTERVAL_MAX_BYTES, f"{used} bytes from {pool} in an idle interval"
            assert counter.delivered.packages == packages[pool]


def test_with_the_exception_of_what_could_be_conferencing_data(tmp_path: Path) -> None:
    """Seed: "(with maybe the exception of what could be conferencing data)": an edit costs little, an upload its size, once."""
    pair = make_pair(tmp_path)
    for pool in ("a", "b"):
        pair.start(pool)
    counters = counted(pair)
    pair.settle()
    first_copy = sum(spent(counter) for counter in counters.values())
    assert first_copy > 100_000
    packages = counters["a"].delivered.package_bytes
    with pair.sql("a") as connection:
        connection.execute(EDIT)
    pair.settle()
    edit = counters["a"].delivered.package_bytes - packages
    assert 0 < edit < first_copy / 50
    content = os.urandom(300_000)
    (pair.folder / "data-a" / "share%2ea%2eexample" / "http_file_share" / "upload.bin").write_bytes(content)
    pair.live(300, step_s=5)
    upload = counters["a"].delivered.package_bytes - packages - edit
    assert len(content) < upload < len(content) * 1.02 + 4096
    assert pair.files("a") == pair.files("b")
    assert counters["b"].delivered.package_bytes < first_copy
    stop_all(pair)
