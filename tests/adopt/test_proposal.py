"""What `adopt prosody` proposes is taken as it is: by Prosody, by poolpair, and by the partner's site."""

from __future__ import annotations

import json
import os
import pwd
import re
import stat
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner, Result

from poolpair.adopt.checked import check_prosody
from poolpair.adopt.findings import Level
from poolpair.adopt.lines import lua
from poolpair.adopt.proposal import password_line, store_url
from poolpair.adopt.prosody import Prosody, Sql, read_prosody
from poolpair.cli.main import app
from poolpair.config import PoolConfig, home_of, home_ranks, load_config
from poolpair.errors import Code, PoolpairError
from poolpair.keyfile import new_key_file
from tests.unit.unprivileged import as_nobody, reachable_folder

SERVER = """
data_path = "{folder}/data"
modules_enabled = {{ "roster"; "mam" }}
storage = "sql"
sql = {{ driver = "PostgreSQL", database = "prosody", username = "pro:sody", password = "pa\\\\ss:word",
         host = "db.{pool}.example", port = 5433 }}
VirtualHost "localhost"
VirtualHost "{pool}.example"
Component "{rooms}.{pool}.example" "muc"
    modules_enabled = {{ "muc_mam" }}
    restrict_room_creation = "local"
    muc_room_default_history_length = 20
Component "share.{pool}.example" "http_file_share"
    http_file_share_size_limit = 1024 * 1024
    http_file_share_allowed_file_types = {{ "image/*"; "text/plain" }}
"""
ROOMS = {"a": "rooms", "b": "conference"}
SQLITE = 'sql = { driver = "SQLite3" }'


class Sites:
    """Two configurations side by side, and the key that both have."""

    def __init__(self, folder: Path, *, sqlite: bool = False) -> None:
        self.folder = folder
        new_key_file(folder / "pair.key")
        for pool in ("a", "b"):
            (folder / pool / "data").mkdir(parents=True)
            text = SERVER.format(folder=folder / pool, pool=pool, rooms=ROOMS[pool])
            self.config(pool).write_text(re.sub(r"sql = {[^}]*}", SQLITE, text) if sqlite else text)

    def config(self, pool: str) -> Path:
        """Prosody's configuration."""
        return self.folder / pool / "prosody.cfg.lua"

    def adopt(self, pool: str, *words: str, known: bool = True) -> Result:
        """The command, with the partner's configuration or only its domain."""
        other = "b" if pool == "a" else "a"
        partner = ["--partner-config", str(self.config(other))] if known else ["--partner-host", f"{other}.example"]
        given = ["--config", str(self.config(pool)), "--key-file", str(self.folder / "pair.key"), *partner, *words]
        return CliRunner().invoke(app, ["adopt", "prosody", *given])

    def write(self, pool: str, *words: str) -> Path:
        """Write the proposal, and include the lines in Prosody's configuration."""
        to = self.folder / pool / "poolpair"
        result = self.adopt(pool, "--to", str(to), *words)
        assert result.exit_code == 0, result.output
        with self.config(pool).open("a") as config:
            config.write(f'Include "{to}/poolpair.cfg.lua"\n')
        return to

    def both(self) -> tuple[Prosody, Prosody]:
        """Both adopted."""
        for pool in ("a", "b"):
            self.write(pool)
        return read_prosody(self.config("a")), read_prosody(self.config("b"))

    def pool_file(self, pool: str) -> PoolConfig:
        """The pool file that was written."""
        return load_config(self.folder / pool / "poolpair" / f"{pool}-example.toml")


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    """On PostgreSQL."""
    return Sites(tmp_path)


def wrong(config: PoolConfig, path: Path) -> list[str]:
    """What `check` finds, but for the server, which does not run here."""
    return [str(each) for each in check_prosody(config, path) if each.is_wrong and each.subject != "socket"]


def test_a_share_may_be_on_a_file_server(sites: Sites) -> None:
    """The address goes into the pool file as it is, with a place for its account; a wrong one is refused."""
    sites.write("a", "--partner-share", "smb://files.b.example/pools/b", "--share", r"\\files\pools\a")
    config = sites.pool_file("a")
    assert (config.share, config.partner.share) == ("smb://files/pools/a", "smb://files.b.example/pools/b")
    assert (
        config.share_credentials
        == config.partner.share_credentials
        == sites.folder / "a" / "poolpair" / "share.credentials"
    )
    refused = sites.adopt("a", "--partner-share", "smb://files.b.example")
    assert isinstance(refused.exception, PoolpairError)
    assert refused.exception.code is Code.USAGE


def test_both_sites_come_to_the_same(sites: Sites) -> None:
    """Homes, hosts, their modules and the secret of each one's uploads; every host of both pools waits to be activated."""
    a, b = sites.both()
    assert sites.pool_file("a").homes == sites.pool_file("b").homes
    hosts = {
        name for pool in "ab" for name in (f"{pool}.example", f"{ROOMS[pool]}.{pool}.example", f"share.{pool}.example")
    }
    for prosody in (a, b):
        assert {host.name for host in prosody.hosts if not host.is_enabled} == hosts
        assert [host.name for host in prosody.hosts if host.is_enabled] == ["localhost"]
    for name in hosts:
        here, there = a.host(name), b.host(name)
        assert here is not None
        assert there is not None
        assert here.modules - {"admin_shell"} == there.modules - {"admin_shell"}
        assert here.upload_secret == there.upload_secret
        assert bool(here.upload_secret) is name.startswith("share.")
    secrets = {host.upload_secret for host in a.hosts if host.upload_secret}
    assert len(secrets) == 2
    room, there = a.host("conference.b.example"), b.host("conference.b.example")
    assert room is not None
    assert there is not None
    taken = ("muc_room_default_history_length", "restrict_room_creation", "modules_enabled")
    assert room.own.model_dump(include=set(taken)) == there.own.model_dump(include=set(taken))


def test_nothing_is_left_to_change(sites: Sites) -> None:
    """Once the lines are in place `check` finds nothing in either configuration, and adopting again proposes no line."""
    sites.both()
    for pool in ("a", "b"):
        config = sites.pool_file(pool)
        assert wrong(config, sites.config(pool)) == []
        again = sites.adopt(pool, "--partner-host", "b.example" if pool == "a" else "a.example")
        assert again.exit_code == 0, again.output
        assert "to change" not in again.output
        assert "poolpair.cfg.lua: " not in again.output


def test_the_pool_file_is_one(sites: Sites) -> None:
    """Store, files, hooks and gate as Prosody's configuration says; the password is in its own file alone, which libpq reads."""
    sites.both()
    config = sites.pool_file("a")
    assert (config.pool, config.partner.pool) == ("a-example", "b-example")
    assert config.files == sites.folder / "a" / "data"
    assert config.prosody == sites.config("a")
    assert config.gate.at_start
    assert config.gate.watch == sites.folder / "a" / "data" / "prosody.sock"
    hooks = {step.value: words[1:] for step, words in config.hooks.commands}
    down, up = ("prosody", "deactivate"), ("prosody", "activate")
    assert hooks == {"before-fence": down, "gate-close": down, "after-serve": up, "gate-open": up}
    said = conninfo_to_dict(config.store)
    password_file = sites.folder / "a" / "poolpair" / "a-example.pgpass"
    assert said == {
        "user": "pro:sody",
        "host": "db.a.example",
        "port": "5433",
        "dbname": "prosody",
        "passfile": str(password_file),
    }
    assert password_file.read_text() == "*:*:*:pro\\:sody:pa\\\\ss\\:word\n"
    assert config.homes == (
        ("a.example", "a-example"), ("*.a.example", "a-example"), ("b.example", "b-example"), ("*.b.example", "b-example"),
    )  # fmt: skip


def test_no_secret_is_shown_and_none_can_be_read(sites: Sites) -> None:
    """Neither the database's password nor an upload's secret is printed; the files that hold them are the account's alone."""
    to = sites.folder / "a" / "poolpair"
    result = sites.adopt("a", "--to", str(to))
    secret = re.findall(r'http_file_share_secret = "(\w{64})"', (to / "poolpair.cfg.lua").read_text())[0]
    for shown in (result.output, sites.adopt("a").output):
        assert "ss:word" not in shown
        assert secret not in shown
        assert "pro\\:sody:..." in shown
        assert 'http_file_share_secret = "..."' in shown
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in to.iterdir()}
    assert modes == {"a-example.toml": 0o644, "a-example.pgpass": 0o600, "poolpair.cfg.lua": 0o600}
    if os.geteuid() == 0:
        assert {path.stat().st_uid for path in to.iterdir()} == {pwd.getpwnam("prosody").pw_uid}


def test_nothing_is_replaced_unasked(sites: Sites) -> None:
    """A file that is there stays, and then nothing is written; --force replaces."""
    to = sites.folder / "to"
    to.mkdir()
    (to / "a-example.toml").write_text("mine")
    result = sites.adopt("a", "--to", str(to))
    assert isinstance(result.exception, PoolpairError)
    assert result.exception.code is Code.USAGE
    assert [path.name for path in to.iterdir()] == ["a-example.toml"]
    assert (to / "a-example.toml").read_text() == "mine"
    assert sites.adopt("a", "--to", str(to), "--force").exit_code == 0
    assert "[homes]" in (to / "a-example.toml").read_text()
    (sites.folder / "file").write_text("")
    result = sites.adopt("a", "--to", str(sites.folder / "file"))
    assert isinstance(result.exception, PoolpairError)
    assert "file" in result.exception.detail


def test_places_that_this_account_may_not_enter() -> None:
    """The folder to write into, and the one of the key."""
    with reachable_folder() as folder:
        sites = Sites(folder)
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (folder / "closed").mkdir(mode=0o700)

        def complaint(*words: str) -> str:
            result = sites.adopt("a", *words)
            return str(result.exception)

        assert as_nobody(lambda: complaint("--key-file", f"{folder}/pair.key")).startswith("P103: ")
        said = as_nobody(lambda: complaint("--key-file", f"{folder}/closed/pair.key"))
        assert said == f"P103: {folder}/closed/pair.key: Permission denied"
        (folder / "pair.key").unlink()
        said = as_nobody(lambda: complaint("--to", f"{folder}/closed/to"))
        assert said == f"P105: {folder}/closed/to/a-example.toml: Permission denied"
        assert as_nobody(lambda: complaint("--to", f"{folder}/new")) == f"P105: {folder}/new: Permission denied"


def test_what_cannot_be_a_pair_writes_nothing(sites: Sites) -> None:
    """The finding is printed, the exit status is 2, no file is made."""
    text = sites.config("a").read_text()
    sites.config("a").write_text(text.replace('"PostgreSQL"', '"MySQL"'))
    result = sites.adopt("a", "--to", str(sites.folder / "to"))
    assert result.exit_code == 2
    assert 'FAIL      database: the driver "MySQL" is not supported' in result.output
    assert not (sites.folder / "to").exists()


def test_a_domain_that_both_serve_is_refused(sites: Sites) -> None:
    """A pool is a domain of its own: whether it is the only one, or one of several."""
    theirs = sites.config("b").read_text()
    sites.config("b").write_text(theirs + 'VirtualHost "chat.example"\n')
    sites.config("a").write_text(sites.config("a").read_text() + 'VirtualHost "chat.example"\n')
    result = sites.adopt("a", "--to", str(sites.folder / "to"))
    assert result.exit_code == 2
    assert "FAIL      partner: chat.example is a host of both servers" in result.output
    sites.config("b").write_text(sites.config("a").read_text())
    result = sites.adopt("a")
    assert isinstance(result.exception, PoolpairError)
    assert "a domain that both serve cannot be paired" in result.exception.hint


def test_one_site_on_sqlite_and_one_on_postgresql_are_no_pair(sites: Sites) -> None:
    """The stores of a pair are of one kind."""
    sites.config("b").write_text(re.sub(r"sql = {[^}]*}", SQLITE, sites.config("b").read_text()))
    result = sites.adopt("a")
    assert result.exit_code == 2
    assert "one server keeps its rows in PostgreSQL and the other in SQLite3" in result.output


def test_sqlite_is_taken_with_its_hazards(tmp_path: Path) -> None:
    """The store is the file below data_path; no password file is made, and what may happen is said."""
    sites = Sites(tmp_path, sqlite=True)
    (tmp_path / "a/data/prosody.sqlite").write_bytes(b"SQLite format 3\0\x10\0\x01\x01")
    result = sites.adopt("a", "--to", str(tmp_path / "to"))
    assert result.exit_code == 0, result.output
    assert "to know   database: SQLite has one writer" in result.output
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["a-example.toml", "poolpair.cfg.lua"]
    assert load_config(tmp_path / "to/a-example.toml").store == f"sqlite:///{tmp_path}/a/data/prosody.sqlite"


def test_a_partner_of_whom_only_the_domain_is_known(sites: Sites) -> None:
    """Its components are taken to be as here, and that is said; without the key no secret is made up."""
    result = sites.adopt("a", known=False)
    assert result.exit_code == 0
    assert "to know   partner: b.example, rooms.b.example, share.b.example: taken to be as here" in result.output
    (sites.folder / "pair.key").unlink()
    result = sites.adopt("a", known=False)
    assert "pair.key is not there: of it both sites would make http_file_share_secret" in result.output
    assert "http_file_share_secret = " not in result.output


def test_the_second_site_may_serve_nobody(sites: Sites) -> None:
    """The commonest pair: one site serves, the other stands by. Both adopt, and come to the same."""
    spare = re.sub(r'VirtualHost "b.example".*', "", sites.config("b").read_text(), flags=re.DOTALL)
    sites.config("b").write_text(spare.replace('storage = "sql"', ""))
    names = {"a": ("--pool", "a-example", "--partner-pool", "b"), "b": ("--pool", "b", "--partner-pool", "a-example")}
    result = sites.adopt("b", *names["b"])
    assert result.exit_code == 2
    assert 'every store of a.example is kept by "internal"' in result.output, "as it would be kept there"
    sites.config("b").write_text(spare)
    for pool in ("a", "b"):
        sites.write(pool, *names[pool])
    a, b = sites.pool_file("a"), load_config(sites.folder / "b/poolpair/b.toml")
    assert a.homes == b.homes == (("a.example", "a-example"), ("*.a.example", "a-example"))
    assert b.files == sites.folder / "b/data"
    for pool, config in (("a", a), ("b", b)):
        assert wrong(config, sites.config(pool)) == []
    assert {host.name for host in read_prosody(sites.config("b")).hosts} == {
        "localhost", "a.example", "rooms.a.example", "share.a.example",
    }  # fmt: skip


def test_a_domain_may_lie_below_the_partners(sites: Sites) -> None:
    """Example is a's, b.example is b's: what lies below b.example is b's all the same. A component of no domain is its server's."""
    for pool, old, new in (("a", "a.example", "example"), ("b", "conference.b.example", "conference.other")):
        text = sites.config(pool).read_text()
        sites.config(pool).write_text(text.replace(f"db.{old}", "db").replace(old, new))
    names = {"a": ("--pool", "a", "--partner-pool", "b"), "b": ("--pool", "b", "--partner-pool", "a")}
    for pool in ("a", "b"):
        sites.write(pool, *names[pool])
    a, b = (load_config(sites.folder / pool / "poolpair" / f"{pool}.toml") for pool in ("a", "b"))
    assert dict(a.homes) == dict(b.homes)
    whose = {"example": "a", "rooms.example": "a", "b.example": "b", "share.b.example": "b", "conference.other": "b"}
    assert {name: home_of(name, home_ranks(a.homes)) for name in whose} == whose
    for pool, config in (("a", a), ("b", b)):
        assert wrong(config, sites.config(pool)) == []
        assert {host.name for host in read_prosody(sites.config(pool)).hosts} >= set(whose)


def test_a_secret_that_differs_becomes_the_partners(sites: Sites) -> None:
    """The site whose upload service it is has set one; this one had another for the same host."""
    secret = '    http_file_share_secret = "{}"\n'
    sites.config("b").write_text(sites.config("b").read_text() + secret.format("of b"))
    own = 'VirtualHost "b.example"\n enabled = false\nComponent "share.b.example" "http_file_share"\n enabled = false\n'
    sites.config("a").write_text(sites.config("a").read_text() + own + secret.format("of a"))
    to = sites.folder / "to"
    result = sites.adopt("a", "--to", str(to), "--partner-host", "b.example")
    assert "share.b.example has not the same http_file_share_secret at both sites" in result.output
    assert 'http_file_share_secret = "of b"' in (to / "poolpair.cfg.lua").read_text()


WRONG_COMMANDS = [
    (["--pool", "b-example"], Code.USAGE, "both pools would be called 'b-example'"),
    (["--pool", "No Name"], Code.USAGE, "--pool: 'No Name' is no name of a pool"),
    (["--partner-config", "/gone"], Code.APPLICATION, "/gone cannot be read: No such file or directory"),
    (["--partner-config", "/etc"], Code.APPLICATION, "/etc is no regular file"),
    (["--partner-host", "a.example"], Code.USAGE, "a pool without a domain has no name of its own"),
    (["--partner-host", 'b"x.example'], Code.USAGE, "is no domain"),
    (["--partner-host", " "], Code.USAGE, "--partner-host: '' is no domain"),
    (["--config", "/gone"], Code.APPLICATION, "/gone cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("words", "code", "detail"), WRONG_COMMANDS, ids=range(len(WRONG_COMMANDS)))
def test_a_wrong_command_is_refused_with_its_reason(sites: Sites, words: list[str], code: Code, detail: str) -> None:
    """One line with a code, never a traceback."""
    result = sites.adopt("a", *words)
    assert isinstance(result.exception, PoolpairError), result.output
    assert detail in result.exception.detail
    assert result.exception.code is code


URLS = [
    (Sql(driver="PostgreSQL", database="p", username="u"), {"user": "u", "dbname": "p"}),
    (Sql(driver="PostgreSQL", database="p/x", username="@", host="/r", port=7), {"user": "@", "dbname": "p/x", "host": "/r", "port": "7"}),
    (Sql(driver="PostgreSQL", database="p", username="u", host="::1", port=1), {"user": "u", "dbname": "p", "host": "::1", "port": "1"}),
    (Sql(driver="PostgreSQL", database="p q", username="u", port=7), {"user": "u", "dbname": "p q", "port": "7"}),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "said"), URLS, ids=range(len(URLS)))
def test_a_database_is_named_as_libpq_reads_it(tmp_path: Path, sql: Sql, said: dict[str, str]) -> None:
    """Whatever signs its name has, and whether it is reached by a socket or by a port."""
    (tmp_path / "x.lua").write_text("")
    assert conninfo_to_dict(store_url(read_prosody(tmp_path / "x.lua"), sql, Path("/p"))) == said


def test_what_is_written_in_lua_is_read_back(tmp_path: Path) -> None:
    """Texts with quotes and controls, tables of both kinds, numbers."""
    value = {"a b": ['x"\\\n\0', 1, 2.5, True, {"deep": []}], "ö": "\x7f]]", "n": -3}
    path = tmp_path / "x.lua"
    path.write_text(f"value = {lua(value)}\n")
    own = read_prosody(path).server.model_extra
    assert own is not None
    assert json.dumps(own["value"], sort_keys=True) == json.dumps(value, sort_keys=True)
    assert password_line(Sql(username="u", password="\\:"), "...") == "*:*:*:u:...\n"


def test_check_holds_the_pool_file_against_prosody(sites: Sites) -> None:
    """Another database, other files, no hooks, a host of nobody's, a component that is another's than its domain."""
    sites.both()
    path = sites.folder / "a/poolpair/a-example.toml"
    text, data = path.read_text(), sites.folder / "a/data"
    wrong = {
        "/prosody?": ("/other?", "Prosody writes into database prosody, poolpair looks at database other"),
        f'"{data}"': (f'"{sites.folder}/b"', f"Prosody keeps uploads in {data}, poolpair carries {sites.folder}/b"),
        "gate_open ": ("drill ", "gate_open is not set: Prosody is not told whom to serve"),
        '"*.a.example" =': ('"*.c.example" =', "rooms.a.example belongs to no pool"),
        '"*.b.example" = "b-example"': (
            '"*.b.example" = "b-example"\n"rooms.a.example" = "b-example"',
            "rooms.a.example (muc) belongs to b-example, its domain a.example to a-example",
        ),
    }  # fmt: skip
    for old, (new, words) in wrong.items():
        assert old in text
        path.write_text(text.replace(old, new))
        said = [
            each.words for each in check_prosody(load_config(path), sites.config("a")) if each.level is not Level.OK
        ]
        assert words in said
