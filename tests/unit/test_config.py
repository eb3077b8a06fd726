"""The pool file: what is read, where it came from, and what is said of a wrong one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from poolpair.bandwidth import Bandwidth
from poolpair.config import (
    Api,
    Guard,
    HookCommands,
    Limits,
    Management,
    Partner,
    PoolConfig,
    Setting,
    Sync,
    load_config,
)
from poolpair.errors import Code, PoolpairError
from poolpair.moves import GateRules, HookStep

GOOD = """\
pool    = "a"
store   = "sqlite:////var/lib/prosody/prosody.sqlite"
profile = "prosody"
share   = "/srv/share-a"   # where b drops its files for us

[partner]
pool     = "b"
share    = "/mnt/share-b"
key_file = "/etc/poolpair/pair.key"

[homes]
"a.example"   = "a"
"*.a.example" = "a"
"b.example"   = "b"
"""
ALL = (
    GOOD.replace(
        "[partner]",
        'files = "/data"\nscratch = "/scratch"\nfront_end = "fe1"\nshare_credentials = "/etc/own"\n\n'
        '[partner]\nshare_credentials = "/etc/partner"',
    )
    + """
[sync]
interval = "5s"
eager = false
conference_max = "1GB"
package_max = 5_000_000
window = 1
heartbeat_max = "250ms"

[guard]
delete_fraction = "50%"
delete_groups = 0

[limits]
quarantine_files = 7
parked_groups = 8
lock_wait = "1.5s"

[hooks]
before_fence = ["systemctl", "stop", "a b"]
after_fence = ["/bin/true"]
before_apply = ["/bin/true"]
after_apply = ["/bin/true"]
before_serve = ["/bin/true"]
after_serve = ["/bin/echo", "é"]
gate_open = ["/bin/true"]
gate_close = ["/bin/true"]
drill = ["boot-check"]
after_import = ["/bin/true"]
after_configure = ["/bin/true"]
timeout = "5s"

[gate]
at_start = false
wait = "never"
self_fence_after = "90s"
watch = "/run/app.sock"

[api]
listen = "[2001:db8::5]:80"
allow_remote = true
tokens = "/etc/api.tokens"
certificate = "/etc/api.pem"
certificate_key = "/etc/api.key"

[application]
prosody = "/etc/prosody/prosody.cfg.lua"
[cms]
home = "b"
store = "sqlite:////data/cms.sqlite"
share_credentials = "/etc/others"
[cms.files]
"prosody.cfg.lua" = "/etc/prosody/prosody.cfg.lua"
"""
)


def load(folder: Path, text: str) -> PoolConfig:
    """Read a pool file with this text."""
    path = folder / "a.toml"
    path.write_text(text)
    return load_config(path)


def complaint(folder: Path, text: str) -> str:
    """What is said of a wrong pool file, after its name."""
    with pytest.raises(PoolpairError) as caught:
        load(folder, text)
    assert caught.value.code is Code.CONFIG
    assert caught.value.exit_status == 64
    prefix = f"{folder / 'a.toml'}: "
    assert caught.value.detail.startswith(prefix)
    return caught.value.detail.removeprefix(prefix)


def test_a_short_file_leaves_the_original_defaults(tmp_path: Path) -> None:
    """What the file does not say is as in the original: two minutes and 100 MB."""
    config = load(tmp_path, GOOD)
    assert config == PoolConfig(
        path=tmp_path / "a.toml",
        pool="a",
        store="sqlite:////var/lib/prosody/prosody.sqlite",
        profile="prosody",
        share="/srv/share-a",
        files=None,
        partner=Partner(pool="b", share="/mnt/share-b", key_file=Path("/etc/poolpair/pair.key")),
        homes=(("a.example", "a"), ("*.a.example", "a"), ("b.example", "b")),
        sync=Sync(),
        guard=Guard(),
        limits=Limits(),
        hooks=HookCommands(),
        gate=GateRules(),
        bandwidth=Bandwidth(),
        api=Api(),
        scratch=None,
        front_end=socket.gethostname(),
        sources=config.sources,
    )
    assert (config.sync.interval_s, config.sync.conference_max_bytes) == (120.0, 100 * 1024**2)


def test_every_key_is_read(tmp_path: Path) -> None:
    """Every key that may be given changes the value that it names."""
    config = load(tmp_path, ALL)
    assert config.files == Path("/data")
    assert config.scratch == Path("/scratch")
    assert config.front_end == "fe1"
    assert config.prosody == Path("/etc/prosody/prosody.cfg.lua")
    assert config.cms == Management(home="b", store="sqlite:////data/cms.sqlite", share_credentials=Path("/etc/others"))
    assert config.watched == (("prosody.cfg.lua", Path("/etc/prosody/prosody.cfg.lua")),)
    assert (config.share_credentials, config.partner.share_credentials) == (Path("/etc/own"), Path("/etc/partner"))
    assert config.sync == Sync(
        interval_s=5.0,
        eager=False,
        conference_max_bytes=10**9,
        package_max_bytes=5_000_000,
        window=1,
        heartbeat_max_s=0.25,
    )
    assert config.guard == Guard(delete_fraction=0.5, delete_groups=0)
    assert config.limits == Limits(quarantine_files=7, parked_groups=8, lock_wait_s=1.5)
    hooks = dict(config.hooks.commands)
    assert set(hooks) == set(HookStep)
    named = Api(
        host="2001:db8::5",
        port=80,
        tokens=Path("/etc/api.tokens"),
        certificate=Path("/etc/api.pem"),
        certificate_key=Path("/etc/api.key"),
    )
    assert (config.api, config.api.is_local, config.api.is_sealed) == (named, False, True)
    assert config.gate == GateRules(at_start=False, wait_s=None, self_fence_after_s=90.0, watch=Path("/run/app.sock"))
    assert load(tmp_path, GOOD + '[hooks]\ngate_open = ["x"]\n').gate == GateRules(at_start=True)
    assert (hooks[HookStep.BEFORE_FENCE], config.hooks.timeout_s) == (("systemctl", "stop", "a b"), 5.0)


@pytest.mark.parametrize("text", [r"\\server\share\dir", "//server/share/dir/", "smb://server:445/share/dir"])
def test_a_share_on_a_file_server_has_one_name(tmp_path: Path, text: str) -> None:
    """However it is written, it is printed in one way."""
    assert load(tmp_path, GOOD.replace('"/srv/share-a"', f"'{text}'")).share == "smb://server/share/dir"


def test_the_heartbeat_is_never_slower_than_the_interval(tmp_path: Path) -> None:
    """A cookie goes out every ten seconds, or every interval if that is shorter."""
    assert load(tmp_path, GOOD).heartbeat_s == 10.0
    assert load(tmp_path, GOOD + '[sync]\ninterval = "5s"\n').heartbeat_s == 5.0


def test_config_show_names_value_source_and_original(tmp_path: Path) -> None:
    """Every value is listed once, in a fixed order, with its line or as default, and with the original's name."""
    placed = '[cms]\nhome = "b"\n[cms.files]\n"prosody.cfg.lua" = "/etc/it"\n'
    settings = load(tmp_path, GOOD + '\n[sync]\ninterval = "120s"\n' + placed).sources
    assert settings[0] == Setting(key="pool", value="a", source="a.toml:1")
    assert Setting(key="partner.share", value="/mnt/share-b", source="a.toml:8") in settings
    assert Setting(key='homes."*.a.example"', value="a", source="a.toml:13") in settings
    assert Setting(key="sync.interval", value="2m", source="a.toml:17", lync="SyncInterval") in settings
    shown = Setting(key="sync.conference_max", value="100MiB", source="default", lync="MaxDataConfPackageSizeKB")
    assert shown in settings
    assert Setting(key="files", value="(not set)", source="default") in settings
    assert Setting(key="guard.delete_fraction", value="20%", source="default") in settings
    assert [setting.key for setting in settings] == [setting.key for setting in load(tmp_path, ALL).sources]
    assert len({setting.key for setting in settings}) == len(settings)


def test_every_printed_value_reads_back(tmp_path: Path) -> None:
    """A file made of what config show prints says the same."""
    config = load(tmp_path, ALL)
    lines = []
    for setting in config.sources:
        if setting.key == "cms.member_key":  # for pools of other pairs than the one that says `home`
            continue
        bare = setting.value.isdigit() or setting.value in {"true", "false"} or setting.value.startswith('["')
        lines.append(f"{setting.key} = {setting.value if bare else repr(setting.value)}")
    again = load(tmp_path, "\n".join(lines))
    assert (again.sync, again.guard, again.limits, again.homes, again.hooks, again.gate, again.api) == (
        config.sync,
        config.guard,
        config.limits,
        config.homes,
        config.hooks,
        config.gate,
        config.api,
    )


def test_a_line_is_found_however_the_key_is_written(tmp_path: Path) -> None:
    """Quotes, dots and inline tables do not hide where a value came from."""
    text = GOOD.replace(GOOD[GOOD.index("[partner]") : GOOD.index("[homes]")], "")
    text = 'partner = { pool = "b", share = "/b", key_file = "/k" }\n"sync".interval = "1m"\n' + text
    by_key = {setting.key: setting.source for setting in load(tmp_path, text).sources}
    assert by_key["partner.pool"] == "a.toml:1"
    assert by_key["sync.interval"] == "a.toml:2"
    assert by_key["pool"] == "a.toml:3"


def test_a_password_is_not_printed(tmp_path: Path) -> None:
    """A store's password stays out of config show and of messages."""
    for url, shown in (
        ("postgresql://me:geheim@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me:ge@h:eim@db/x", "postgresql://me:***@db/x"),
        ("postgresql://me@db/x?password=geheim&port=1", "postgresql://me@db/x?password=***&port=1"),
    ):
        text = 'scratch = "/s"\n' + GOOD.replace("sqlite:////var/lib/prosody/prosody.sqlite", url)
        config = load(tmp_path, text)
        assert config.store == url
        assert config.sources[1].value == shown
    text = GOOD.replace("sqlite:////var/lib/prosody/prosody.sqlite", "mysql://me:geheim@db/x")
    expected = "store (line 2): expected sqlite:////abs/path or postgresql://..., not 'mysql://me:***@db/x'"
    assert complaint(tmp_path, text) == expected


WRONG = {
    "server without scratch": (
        GOOD.replace("sqlite:////var/lib/prosody/prosody.sqlite", "postgresql://me@db/x"),
        "scratch: missing: with a store on PostgreSQL say where packages are made, in a private folder",
    ),
    "unknown key": (
        GOOD + '[sync]\nintervall = "2m"\n',
        "sync.intervall (line 16): unknown key, did you mean sync.interval?",
    ),
    "key of another section": (
        'interval = "2m"\n' + GOOD,
        "interval (line 1): unknown key, did you mean sync.interval?",
    ),
    "the original's name": (
        GOOD + '[sync]\nSyncInterval = "00:02:00"\n',
        "sync.SyncInterval (line 16): unknown key, did you mean sync.interval?",
    ),
    "unlike any key": (GOOD + "[sync]\nxyzzy = 1\n", "sync.xyzzy (line 16): unknown key"),
    "partner's key at the top": (
        "keyfile = 1\n" + GOOD,
        "keyfile (line 1): unknown key, did you mean partner.key_file?",
    ),
    "unknown section": (GOOD + "[synch]\n", "synch (line 15): unknown section, did you mean [sync]?"),
    "section as a value": ("sync = 5\n" + GOOD, "sync (line 1): expected a section [sync], not an integer"),
    "homes as a value": (
        "homes = 1\n" + GOOD[: GOOD.index("[homes]")],
        'homes (line 1): missing or empty: say who belongs where, such as "a.example" = "a"',
    ),
    "missing": (GOOD.replace('pool    = "a"\n', ""), "pool: missing"),
    "missing in a section": (
        GOOD.replace('key_file = "/etc/poolpair/pair.key"\n', ""),
        "partner.key_file: missing",
    ),
    "wrong type": (
        GOOD + '[sync]\nwindow = "8"\n',
        "sync.window (line 16): expected an integer, not a string",
    ),
    "true is no number": (
        GOOD + "[sync]\nwindow = true\n",
        "sync.window (line 16): expected an integer, not a boolean",
    ),
    "no boolean": (GOOD + "[sync]\neager = 1\n", "sync.eager (line 16): expected true or false, not an integer"),
    "no unit": (
        GOOD + "[sync]\ninterval = 120\n",
        'sync.interval (line 16): expected a duration such as "5s", "2m", "3h" or "250ms", not an integer',
    ),
    "too often": (
        GOOD + '[sync]\ninterval = "4999ms"\n',
        "sync.interval (line 16): must lie between 5s and 3h, not '4999ms'",
    ),
    "too seldom": (
        GOOD + '[sync]\ninterval = "3.1h"\n',
        "sync.interval (line 16): must lie between 5s and 3h, not '3.1h'",
    ),
    "out of range": (GOOD + "[sync]\nwindow = 0\n", "sync.window (line 16): must lie between 1 and 1000, not 0"),
    "no bytes": (
        GOOD + "[sync]\nconference_max = 0\n",
        "sync.conference_max (line 16): must be at least one byte and less than 8 EiB, not 0",
    ),
    "a date": (
        GOOD + "[guard]\ndelete_fraction = 2013-01-01\n",
        'guard.delete_fraction (line 16): expected a fraction such as "20%" or 0.2, not a date or time',
    ),
    "relative share": (GOOD.replace("/srv/share-a", "share-a"), "share (line 4): 'share-a' is no absolute path"),
    "no share on the server": (
        GOOD.replace("/srv/share-a", "smb://server"),
        (
            "share (line 4): 'smb://server' is no address of a share: expected smb://server[:port]/share or"
            " smb://server[:port]/share/folder"
        ),
    ),
    "an account in the address": (
        GOOD.replace("/srv/share-a", "smb://me:secret@server/share"),
        (
            "share (line 4): expected smb://server[:port]/share or smb://server[:port]/share/folder;"
            " the account stands in the credentials file"
        ),
    ),
    "one share on a server": (
        GOOD.replace("/srv/share-a", "smb://server/share/x").replace("/mnt/share-b", "//server/share/x"),
        "partner.share (line 8): both pools are given one share: smb://server/share/x",
    ),
    "relative store": (
        GOOD.replace("sqlite:////var", "sqlite:///var"),
        (
            "store (line 2): 'sqlite:///var/lib/prosody/prosody.sqlite': the path must be absolute, which makes four"
            " slashes: sqlite:////abs/path"
        ),
    ),
    "profile's file": (
        GOOD.replace('"prosody"', '"./own.toml"'),
        "profile (line 3): './own.toml' is neither the name of a profile (a-z, 0-9, _ and -) nor an absolute path",
    ),
    "pool's name": (
        GOOD.replace('pool    = "a"', 'pool = "Pool A"'),
        "pool (line 1): 'Pool A' is no name of a pool: 1 to 32 of a-z, 0-9 and -",
    ),
    "name of 33": (
        GOOD.replace('pool    = "a"', f'pool = "{"a" * 33}"'),
        f"pool (line 1): '{'a' * 33}' is no name of a pool: 1 to 32 of a-z, 0-9 and -",
    ),
    "front end of two lines": (
        'front_end = "a\\nb"\n' + GOOD,
        "front_end (line 1): expected one line of 1 to 255 printable characters",
    ),
    "a command for a shell": (
        GOOD + '[hooks]\nafter_serve = "systemctl start x"\n',
        (
            "hooks.after_serve (line 16): expected a program and its arguments, such as "
            '["systemctl", "stop", "prosody"], not a string'
        ),
    ),
    "a command without words": (
        GOOD + "[hooks]\nafter_serve = []\n",
        (
            "hooks.after_serve (line 16): expected a program and its arguments, such as "
            '["systemctl", "stop", "prosody"]; there is no shell, so each word stands by itself'
        ),
    ),
    "a hook's name with a dash": (
        GOOD + '[hooks]\nafter-serve = ["x"]\n',
        "hooks.after-serve (line 16): unknown key, did you mean hooks.after_serve?",
    ),
    "a fence that every pause would close": (
        GOOD + '[gate]\nself_fence_after = "29s"\n',
        "gate.self_fence_after (line 16): must be at least three heartbeats, 30s",
    ),
    "neither a duration nor never": (
        GOOD + '[gate]\nwait = "long"\n',
        'gate.wait (line 16): expected a duration such as "5s", "2m", "3h" or "250ms", not \'long\'',
    ),
    "an address for everybody": (
        GOOD + '[api]\nlisten = "0.0.0.0:80"\n',
        "api.listen (line 16): 0.0.0.0 is not loopback: anybody who reaches it may ask; say allow_remote = true if that is meant",
    ),
    "a certificate without its key": (
        GOOD + '[api]\ncertificate = "/etc/api.pem"\n',
        "api.certificate (line 16): certificate and certificate_key are given together, or neither is",
    ),
    "a name for an address": (
        GOOD + '[api]\nlisten = "localhost:80"\n',
        """api.listen (line 16): expected an address and a port, such as "127.0.0.1:7462" or "[::1]:7462", not 'localhost:80'""",
    ),
    "a port that is none": (
        GOOD + '[api]\nlisten = "127.0.0.1:65536"\n',
        (
            'api.listen (line 16): expected an address and a port, such as "127.0.0.1:7462" or "[::1]:7462", '
            "not '127.0.0.1:65536'"
        ),
    ),
    "same pool": (
        GOOD.replace('pool     = "b"', 'pool     = "a"').replace('"b.example"   = "b"\n', ""),
        "partner.pool (line 7): both pools are called 'a'",
    ),
    "one share": (
        GOOD.replace("/mnt/share-b", "/srv/./x/../share-a/"),
        "partner.share (line 8): both pools are given one share: /srv/./x/../share-a/",
    ),
    "key in a share": (
        GOOD.replace("/etc/poolpair/pair.key", "/mnt/share-b/pair.key"),
        (
            "partner.key_file (line 9): /mnt/share-b/pair.key lies inside the share /mnt/share-b, where the partner reads"
            " or writes"
        ),
    ),
    "third pool": (
        GOOD.replace('"b.example"   = "b"', '"b.example"   = "c"'),
        "homes.\"b.example\" (line 14): 'c' is neither pool of this pair (a and b)",
    ),
    "pattern without quotes": (
        GOOD.replace('"a.example"   = "a"', 'a.example   = "a"'),
        'homes.a (line 12): a pattern with dots needs quotes, such as "a.example" = "a"',
    ),
    "home of no pool": (
        GOOD.replace('"a.example"   = "a"', '"a.example"   = 1'),
        'homes."a.example" (line 12): expected the name of a pool, not an integer',
    ),
    "other wildcard": (
        GOOD.replace('"*.a.example"', '"[ab].example"'),
        'homes."[ab].example" (line 13): only * is a wildcard: write one pattern per line instead of ? and [...]',
    ),
    "two stars": (
        GOOD.replace('"*.a.example"', '"**.a.example"'),
        'homes."**.a.example" (line 13): one * matches everything already',
    ),
    "unprintable pattern": (
        GOOD.replace('"*.a.example"', '""'),
        'homes."" (line 13): a pattern needs at least one character, and only printable ones',
    ),
    "pattern twice": (
        GOOD + "'a.example' = \"b\"\n",
        'homes."a.example" (line 15): given twice, first in line 12',
    ),
    "no homes": (
        GOOD[: GOOD.index('"a.example"')],
        'homes (line 11): missing or empty: say who belongs where, such as "a.example" = "a"',
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_the_reason(tmp_path: Path, text: str, expected: str) -> None:
    """The message names the key, its line and what is wrong with it."""
    assert complaint(tmp_path, text) == expected


def test_what_is_no_toml_is_said_to_be_so(tmp_path: Path) -> None:
    """The parser's words and place are passed on."""
    assert complaint(tmp_path, GOOD + "x = \n").startswith("not TOML: invalid value (at line 15")


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    """An operator corrects a file in one go."""
    text = GOOD.replace('pool    = "a"', "pool    = 1").replace("/mnt/share-b", "mnt") + "[guard]\ndeletes = 1\n"
    assert complaint(tmp_path, text) == (
        "pool (line 1): expected the name of a pool, not an integer; "
        "partner.share (line 8): 'mnt' is no absolute path; "
        "guard.deletes (line 16): unknown key, did you mean guard.delete_groups?"
    )


def test_a_link_to_the_own_share_is_the_own_share(tmp_path: Path) -> None:
    """Two names of one folder are one share."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    text = GOOD.replace("/srv/share-a", f"{tmp_path}/real").replace("/mnt/share-b", f"{tmp_path}/link")
    expected = f"partner.share (line 8): both pools are given one share: {tmp_path}/link"
    assert complaint(tmp_path, text) == expected


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a file of other bytes are said to be so."""
    expected = [
        (tmp_path / "none.toml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "latin1.toml", "not UTF-8: byte 2 is 0xe9"),
        (tmp_path / "large.toml", "larger than 1 MiB"),
    ]
    (tmp_path / "latin1.toml").write_bytes(b"# \xe9")
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 20) + b"\n")
    for path, reason in expected:
        with pytest.raises(PoolpairError) as caught:
            load_config(path)
        assert str(caught.value) == f"P101: {path}: {reason}"


def test_the_longest_and_shortest_interval_are_allowed(tmp_path: Path) -> None:
    """The range of the original is inclusive: five seconds to three hours."""
    for text, seconds in (("5s", 5.0), ("3h", 10_800.0)):
        assert load(tmp_path, GOOD + f'[sync]\ninterval = "{text}"\n').sync.interval_s == seconds
