"""What people found who tried to break a pool on SQLite, tried on PostgreSQL: each lost a row, or showed a green that was none."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.decisions import begin_verify
from poolpair.errors import Code
from poolpair.model import Channel, ExportStatus
from poolpair.store.postgres.schema import COLUMNS_MAX
from tests.cluster import Cluster
from tests.postgres.own_pair import ITEM, SCHEMA, own_pair

SMALL = '[sync]\nconference_max="1KiB"\ninterval="5s"\n'


@pytest.mark.long
def test_a_row_of_no_conference_waits_for_none(cluster: Cluster, tmp_path: Path) -> None:
    """A NULL conference is neither in the list of those that wait nor out of it: its row travels, and is compared."""
    schema = SCHEMA.replace(
        "upload (owner text NOT NULL, name text NOT NULL, note text, PRIMARY KEY (owner, name)",
        "upload (owner text NOT NULL, name text, note text, UNIQUE (owner, name)",
    )
    with own_pair(cluster, tmp_path, schema, extra=SMALL) as pair:
        pair.write_file("a", "big", b"x" * 5000)
        pair.do("a", "INSERT INTO upload VALUES ('u@a', 'big', 1)", "INSERT INTO upload VALUES ('u@a', NULL, 'mine')")
        pair.live(18, 3)
        assert pair.ask("b", "SELECT note FROM upload") == [("mine",)]
        begin_verify(pair.sites["a"], Channel.CONFERENCES, repair=False)
        pair.live(18, 3)
        verified = pair.channel("a", Channel.CONFERENCES).export.last_verify
        assert verified is not None
        assert verified.equal
        assert pair.status("a").exit_status == 1, "a conference waits"
        pair.do("a", "DELETE FROM upload WHERE name IS NULL")
        pair.live(18, 3)
        assert pair.ask("b", "SELECT note FROM upload") == []


def test_rows_that_a_fired_trigger_makes_for_an_own_home(cluster: Cluster, tmp_path: Path) -> None:
    """The application at B answers a row of A's with one of B's: that one travels to A as any other change at B."""
    with own_pair(cluster, tmp_path, profile=ITEM, tables=("item",)) as pair:
        pair.do(
            "b",
            "CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO public.item VALUES ('u@b', 'to ' || NEW.owner, 1); RETURN NEW; END $$",
            "CREATE TRIGGER app AFTER INSERT ON item FOR EACH ROW WHEN (NEW.name = 'hello') EXECUTE FUNCTION answer()",
        )
        pair.do("a", "INSERT INTO item VALUES ('u@a', 'hello', 1)")
        pair.whole()
        assert pair.ask("a", "SELECT count(*) FROM item WHERE name = 'to u@a'") == [(1,)]


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "number", ["double precision", pytest.param("real", marks=LONG), pytest.param("numeric", marks=LONG)]
)
def test_minus_zero_is_carried_and_keeps_no_repair_busy(cluster: Cluster, tmp_path: Path, number: str) -> None:
    """`=` takes 0 and -0 for equal; what is written differs, so it is carried, and a repair comes to an end."""
    schema = SCHEMA.replace("double precision", number)
    with own_pair(cluster, tmp_path, schema, ITEM, ("item",)) as pair:
        for value in ("0", "-0"):
            pair.do(
                "a",
                f"INSERT INTO item VALUES ('u@a', 'x', '{value}') ON CONFLICT (owner, name) DO UPDATE SET value = '{value}'",
            )
            pair.whole()
        begin_verify(pair.sites["a"], Channel.USERS, repair=True)
        pair.whole()


def test_rows_without_a_home_are_not_final_at_their_own_pool(cluster: Cluster, tmp_path: Path) -> None:
    """They are captured by nobody and carried nowhere: no FinalState on the side that has them."""
    with own_pair(cluster, tmp_path, profile=ITEM, tables=("item",)) as pair:
        pair.do("a", "INSERT INTO item VALUES ('nobody', 'x', 1)")
        pair.settle()
        assert pair.channel("a").export.status is not ExportStatus.FINAL
        assert pair.status("a").exit_status == 1


@LONG
def test_rows_that_come_from_hidden_places(cluster: Cluster, tmp_path: Path) -> None:
    """Rules, views, functions and cascades write into a table that the statement does not name: all of it is captured."""
    schema = SCHEMA + (
        "CREATE TABLE owners (owner text PRIMARY KEY); ALTER TABLE item ADD CONSTRAINT owned FOREIGN KEY (owner)"
        " REFERENCES owners ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE; CREATE VIEW seen AS SELECT * FROM item;"
        " CREATE RULE noted AS ON DELETE TO seen DO INSTEAD DELETE FROM item WHERE owner = OLD.owner"
    )
    profile = "[[tables]]\nname = 'owners'\nkey = ['owner']\nhome_key = 'owner'\n" + ITEM
    with own_pair(cluster, tmp_path, schema, profile, ("item", "owners")) as pair:
        for statement in (
            "INSERT INTO owners VALUES ('u@a'), ('v@a')",
            "INSERT INTO seen VALUES ('u@a', 'through a view', 2)",
            "INSERT INTO seen VALUES ('v@a', 'through a view', 2)",
            "UPDATE owners SET owner = 'w@a' WHERE owner = 'v@a'",
            "DELETE FROM seen WHERE owner = 'w@a'",
            "DELETE FROM owners WHERE owner = 'u@a'",
        ):
            pair.do("a", statement)
            pair.whole()
        pair.do("a", "CREATE RULE also AS ON INSERT TO owners DO ALSO NOTIFY somebody")
        pair.turn("a")
        assert "P102 owners: it has a rule" in pair.fault("a")


@LONG
def test_a_table_of_very_many_columns(cluster: Cluster, tmp_path: Path) -> None:
    """As many columns as PostgreSQL allows but two are carried; with more the profile is refused with the reason."""
    many = ", ".join(f"c{n} boolean" for n in range(COLUMNS_MAX - 2))
    schema = f"CREATE TABLE item (owner text, name text, {many}, PRIMARY KEY (owner, name))"
    with own_pair(cluster, tmp_path, schema, ITEM, ("item",)) as pair:
        pair.do("a", "INSERT INTO item (owner, name, c0) VALUES ('u@a', 'x', true)")
        pair.whole()
        pair.do("a", f"UPDATE item SET c{COLUMNS_MAX - 3} = false")
        pair.whole()
        pair.stop("a")
        pair.do("a", "ALTER TABLE item ADD one_more boolean")
        refused = pair.command("a", "init")
        assert getattr(refused.exception, "code", None) is Code.PROFILE
        assert f"it has {COLUMNS_MAX + 1} columns" in str(refused.exception)


@LONG
def test_rows_of_fifty_megabytes(cluster: Cluster, tmp_path: Path) -> None:
    """Large values pass through copy, digests, repair and parking."""
    schema = "CREATE TABLE item (owner text, name text, raw bytea, words text, PRIMARY KEY (owner, name))"
    with own_pair(cluster, tmp_path, schema, ITEM, ("item",)) as pair:
        raw = "(SELECT decode(repeat(md5(random()::text), 1600000), 'hex'))"
        pair.do(
            "a",
            f"INSERT INTO item VALUES ('u@a', 'raw', {raw}, NULL), ('u@a', 'words', NULL, repeat('wörter\\n\t', 5000000))",
        )
        pair.whole()
        begin_verify(pair.sites["a"], Channel.USERS, repair=True)
        pair.whole()
        pair.do("b", "ALTER TABLE item ADD CONSTRAINT small CHECK (length(raw) < 100) NOT VALID")
        pair.do("a", "UPDATE item SET words = 'x'")
        pair.settle(force=True)
        assert pair.channel("b").imports.parked == 1
        pair.do("b", "ALTER TABLE item DROP CONSTRAINT small")
        assert pair.command("b", "parked", "retry").exit_code == 0
        pair.whole()
