"""Whatever an application's tables look like on PostgreSQL, the copy holds the same."""

from __future__ import annotations

import pytest

from poolpair.errors import Code, PoolpairError
from tests.postgres.conftest import MakeCopies
from tests.postgres.copies import HOMES, USERS, entry

PARTS = """
CREATE TABLE part (id integer, region text, value text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE part_north PARTITION OF part FOR VALUES IN ('north');
CREATE TABLE part_south PARTITION OF part FOR VALUES IN ('south') PARTITION BY RANGE (id);
CREATE TABLE part_south_low PARTITION OF part_south FOR VALUES FROM (0) TO (100);
CREATE TABLE part_south_high PARTITION OF part_south DEFAULT;
"""


def test_partitioned_tables(make_copies: MakeCopies) -> None:
    """Rows written through the table or straight into a partition, moved between partitions, or truncated with one arrive."""
    copies = make_copies(PARTS, entry("part", "id", "region"))
    for statement in (
        "INSERT INTO part VALUES (1, 'north', 'a'), (2, 'south', 'b'), (200, 'south', 'c')",
        "INSERT INTO part_south_low VALUES (3, 'south', 'straight in')",
        "UPDATE part_south_high SET value = 'changed'",
        "UPDATE part SET region = 'north' WHERE id = 2",
        "UPDATE part_south SET id = 300 WHERE id = 3",
        "DELETE FROM part_north WHERE id = 1",
        "TRUNCATE part_south_high",
    ):
        copies.write(statement)
        assert copies.carry().groups
        copies.assert_equal(["part"])


def test_a_partition_that_comes_or_goes_is_noticed(make_copies: MakeCopies) -> None:
    """Attaching and detaching move rows without any trigger: capture says so, `init` takes the new parts in."""
    copies = make_copies(PARTS, entry("part", "id", "region"))
    copies.write("INSERT INTO part VALUES (1, 'north', 'a')", "CREATE TABLE part_west (LIKE part)")
    copies.carry()
    copies.origin.check_capture()
    for change in (
        "INSERT INTO part_west VALUES (5, 'west', 'w'); ALTER TABLE part ATTACH PARTITION part_west FOR VALUES IN ('west')",
        "ALTER TABLE part DETACH PARTITION part_north",
    ):
        copies.write(change)
        with pytest.raises(PoolpairError) as caught:
            copies.origin.check_capture()
        assert caught.value.code is Code.CAPTURE_BROKEN
        assert copies.install(copies.origin_name)
        copies.origin.check_capture()
        copies.write("CREATE TABLE IF NOT EXISTS part_rest PARTITION OF part DEFAULT", at="target")
        copies.carry(buckets=copies.differences())
        copies.assert_equal(["part"])


def test_tables_without_a_key(make_copies: MakeCopies) -> None:
    """Groups of equal rows, NULLs in the key and order within a group arrive; a group is replaced whole."""
    schema = "CREATE TABLE bag (owner text, store text, value text)"
    copies = make_copies(schema, entry("bag", "owner", "store"))
    copies.write(
        "INSERT INTO bag VALUES ('v', 'x', 'b'), ('v', 'x', 'a'), ('v', 'x', 'a'), (NULL, 'x', 'n'), (NULL, NULL, NULL), ('', '', '')"
    )
    assert copies.carry().groups == 4
    with copies.connect(at="target") as connection:
        rows = connection.execute("SELECT value FROM bag WHERE owner = 'v' ORDER BY ctid").fetchall()
    assert rows == [("b",), ("a",), ("a",)]
    copies.assert_equal(["bag"])
    copies.write(
        "DELETE FROM bag WHERE owner IS NULL AND store = 'x'", "UPDATE bag SET value = 'z' WHERE store IS NULL"
    )
    copies.carry()
    copies.assert_equal(["bag"])


FAMILY = """
CREATE TABLE parent (id integer PRIMARY KEY, boss integer REFERENCES parent, name text);
CREATE TABLE child (id integer PRIMARY KEY, parent integer NOT NULL REFERENCES parent ON DELETE CASCADE);
CREATE TABLE grandchild (id integer PRIMARY KEY, child integer REFERENCES child ON DELETE SET NULL);
"""


def test_foreign_keys_hold_in_any_order_of_the_profile(make_copies: MakeCopies) -> None:
    """Children are named before their parents; rows refer to themselves, cascade and lose their parents: nothing is refused."""
    copies = make_copies(FAMILY, entry("grandchild", "id") + entry("child", "id") + entry("parent", "id"))
    tables = ["parent", "child", "grandchild"]
    for statement in (
        (
            "INSERT INTO parent VALUES (1, 2, 'a'), (2, NULL, 'b'), (3, 3, 'c');"
            " INSERT INTO child VALUES (1, 1), (2, 2), (3, 3); INSERT INTO grandchild VALUES (1, 1), (2, 2), (3, NULL)"
        ),
        "UPDATE parent SET name = name || '!'",
        "DELETE FROM parent WHERE id IN (1, 3)",
        "INSERT INTO parent VALUES (4, 2, 'd'); UPDATE child SET parent = 4; DELETE FROM child WHERE id = 9",
        "UPDATE parent SET boss = NULL; DELETE FROM parent",
    ):
        copies.write(statement)
        assert copies.carry().parked == 0
        copies.assert_equal(tables)


def test_constraints_that_wait_may_wait(make_copies: MakeCopies) -> None:
    """Tables that refer to each other in a circle, by deferrable constraints, arrive whole; a row that is refused at the end is found."""
    schema = """
    CREATE TABLE hen (id integer PRIMARY KEY, egg integer);
    CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen DEFERRABLE);
    ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg DEFERRABLE INITIALLY DEFERRED;
    """
    copies = make_copies(schema, entry("hen", "id") + entry("egg", "id"))
    copies.write("BEGIN; INSERT INTO hen VALUES (1, 1), (2, NULL); INSERT INTO egg VALUES (1, 1), (2, 2); COMMIT")
    assert copies.carry().parked == 0
    copies.assert_equal(["hen", "egg"])
    copies.write("ALTER TABLE egg ADD CONSTRAINT late UNIQUE (hen) DEFERRABLE", at="target")
    copies.write("INSERT INTO egg VALUES (3, 2), (4, NULL)")
    assert copies.carry().parked == 1
    assert copies.content("egg", at="target") == ["(1,1)", "(2,2)", "(4,)"]


def test_rows_may_swap_unique_values(make_copies: MakeCopies) -> None:
    """A swap, a circle of three and a value handed on all arrive, beside a row that is refused, which alone is parked."""
    schema = "CREATE TABLE seat (id integer PRIMARY KEY, number serial, place text UNIQUE)"
    copies = make_copies(schema, entry("seat", "id", more='leave_out = ["number"]'))
    copies.write("INSERT INTO seat SELECT n, n + 40, 'p' || n FROM generate_series(1, 9) n")
    copies.carry()
    copies.write("ALTER TABLE seat ADD CHECK (place <> 'bad')", at="target")
    kept = copies.content("seat", "id, number", at="target")
    copies.write(
        "BEGIN; UPDATE seat SET place = 'x' || id; UPDATE seat SET place = 'p' || CASE id WHEN 1 THEN 2 WHEN 2 THEN 1"
        " WHEN 3 THEN 4 WHEN 4 THEN 5 WHEN 5 THEN 3 WHEN 6 THEN 16 WHEN 7 THEN 6 ELSE id END; COMMIT"
    )
    assert copies.carry().parked == 0
    copies.assert_equal(["seat"], "id, place")
    copies.write(
        "BEGIN; UPDATE seat SET place = 'x' || id; UPDATE seat SET place = 'p' || CASE id WHEN 1 THEN 9 WHEN 9 THEN 1 ELSE id END;"
        " UPDATE seat SET place = 'bad' WHERE id = 8; COMMIT"
    )
    assert copies.carry().parked == 1
    there = set(copies.content("seat", "id, place", at="target"))
    assert there - set(copies.content("seat", "id, place")) == {"(8,p8)"}
    assert copies.content("seat", "id, number", at="target") == kept, "what this site numbers stays"


def test_columns_that_a_site_makes_itself(make_copies: MakeCopies) -> None:
    """Serial and identity columns are assigned here, generated ones computed here; both copies count on by themselves."""
    schema = """
    CREATE TABLE made (name text PRIMARY KEY, a bigserial, b integer GENERATED ALWAYS AS IDENTITY,
      c integer GENERATED BY DEFAULT AS IDENTITY, price numeric, twice numeric GENERATED ALWAYS AS (price * 2) STORED);
    """
    copies = make_copies(schema, entry("made", "name", more='leave_out = ["a", "b", "c"]'))
    copies.write("INSERT INTO made (name, price) VALUES ('z', 1.50), ('y', 2), ('x', NULL)")
    copies.carry()
    copies.assert_equal(["made"], "name, price, twice")
    assert copies.content("made", "name, a, b, c", at="target") == ["(x,3,3,3)", "(y,2,2,2)", "(z,1,1,1)"]
    copies.write("INSERT INTO made (name, price) VALUES ('own', 1)", at="target")
    copies.write("UPDATE made SET price = 1.5 WHERE name = 'z'")
    copies.carry()
    assert copies.content("made", "name, price, a", at="target")[-1] == "(z,1.5,1)"


TYPES = """
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE TYPE pair AS (x integer, y text);
CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'no');
CREATE TABLE kinds (
  id uuid PRIMARY KEY, t text, v varchar(10), c char(5), s short, i smallint, b bigint, n numeric, m numeric(12, 3), r real,
  d double precision, yes boolean, raw bytea, j json, jb jsonb, ta text[], ia integer[][], mo mood, ma mood[], p pair, pa pair[],
  ip inet, mac macaddr, da date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, ir int4range, tr tstzrange,
  mr int4multirange, bits bit(3), vb varbit, x xml, pt point, tv tsvector, cash money, own "char", low name COLLATE "C",
  mu text COLLATE ucs_basic);
"""
VALUES = r"""
INSERT INTO kinds VALUES
('00000000-0000-0000-0000-000000000001', E'tab\t, line\n, return\r, back\\slash, \\N, quote '' ", 😀, \u0301', 'v', 'c', 's', -32768,
 9223372036854775807, 123456789012345678901234567890.123456789, 1.5, 1e-38, 0.1, true, '\x00ff5c0a', '{"b": 1, "a":  [1.0]}',
 '{"b": 1, "a": [1.0, null]}', '{"a,b", NULL, "NULL", "", "q\"\\"}', '[0:1][2:3]={{1,2},{3,NULL}}', 'it''s ok', '{sad,happy}',
 '(1,"a ""b""\\")', ARRAY['(,)', '(2,)']::pair[], '10.0.0.1/8', '08:00:2b:01:02:03', '4713-01-01 BC', '24:00', '12:00+05:30',
 'infinity', '2026-03-29 02:30:00+02', '1 mon -3 days 00:00:00.000001', '[1,5)', '[2026-01-01,)', '{[1,3),[5,9)}', B'101', B'1',
 '<a>&lt;</a>', '(0.1,1e300)', 'a:1A fat:2', '-12.30', 'x', 'n', 'é'),
('00000000-0000-0000-0000-000000000002', '', '', '', '', 0, 0, 'NaN', 0, 'NaN', '-0', false, '', 'null', 'null', '{}', '{}', 'sad', '{}',
 NULL, '{}', '::/0', NULL, 'infinity', '00:00', NULL, '0001-01-01', '-infinity', '0', 'empty', '(,)', '{}', NULL, '', NULL, NULL, '',
 NULL, '', '', '');
INSERT INTO kinds (id) VALUES ('00000000-0000-0000-0000-000000000003');
"""


def test_values_of_every_type(make_copies: MakeCopies) -> None:
    """Signs that COPY escapes, NULL and empty, infinities, arrays, enums, domains, ranges, composites: all as they were written."""
    copies = make_copies(TYPES, entry("kinds", "id"))
    copies.write(VALUES)
    assert copies.carry().parked == 0
    copies.assert_equal(["kinds"])
    changes = (
        "n = 1.0", "n = 1.00", "d = 0", "c = 'c2'", "jb = '{\"a\": 1}'", "j = '{ }'", "ta = '{x}'", "t = NULL", "t = ''", "iv = '30 days'",
        "iv = '1 mon'", "p = '(1,)'", "p = NULL", "raw = NULL", "mu = 'e'", "x = '<b/>'", "pt = '(1,2)'", "low = 'y'", "r = 16777217",
    )  # fmt: skip
    for change in changes:
        copies.write(f"UPDATE kinds SET {change}")
        assert copies.carry().parked == 0
        copies.assert_equal(["kinds"])


def test_names_that_need_quotes_and_several_schemas(make_copies: MakeCopies) -> None:
    """Mixed case, spaces, quotes, keywords and a table of one name in two schemas are kept apart."""
    schema = """
    CREATE SCHEMA "Zweites Schema"; CREATE SCHEMA other;
    CREATE TABLE "Zweites Schema"."Or""der" ("Key" integer PRIMARY KEY, "select" text, "a b" text, "%s" text, "$1" text);
    CREATE TABLE other.item (id integer PRIMARY KEY, value text);
    CREATE TABLE item (id integer PRIMARY KEY, value text);
    """
    profile = (
        entry('Zweites Schema.Or"der', "Key") + entry("other.item", "id") + entry("item", "id", more="where = 'id > 0'")
    )
    copies = make_copies(schema, profile)
    quoted = '"Zweites Schema"."Or""der"'
    copies.write(
        f"INSERT INTO {quoted} VALUES (1, 'a', 'b', '%s', '$1')",
        "INSERT INTO other.item VALUES (1, 'other')",
        "INSERT INTO item VALUES (1, 'public'), (-1, 'local')",
    )
    assert copies.carry().groups == 3
    copies.assert_equal([quoted, "other.item"])
    assert copies.content("item", at="target") == ["(1,public)"]


def test_row_level_security_hides_nothing(make_copies: MakeCopies) -> None:
    """Policies do not apply to the owner of a table; where they would apply to our role, the profile is refused."""
    schema = """
    CREATE TABLE item (id integer PRIMARY KEY, value text);
    ALTER TABLE item ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON item TO other USING (value = 'mine') WITH CHECK (value = 'mine');
    GRANT ALL ON item TO other;
    """
    copies = make_copies(schema, entry("item", "id"))
    copies.write("INSERT INTO item VALUES (1, 'theirs'), (2, 'mine')")
    with copies.connect(role="other") as other:
        other.execute("INSERT INTO item VALUES (3, 'mine')")
        other.execute("DELETE FROM item WHERE id IN (1, 2)")
    assert copies.carry().groups == 3
    copies.assert_equal(["item"])
    copies.write("ALTER TABLE item FORCE ROW LEVEL SECURITY")
    with pytest.raises(PoolpairError, match="row-level security") as caught:
        copies.origin.check_capture()
    assert caught.value.code is Code.PROFILE


def test_a_role_without_any_privilege_of_ours_may_write(make_copies: MakeCopies) -> None:
    """Writers need no privilege in our schema, and cannot reach into it."""
    copies = make_copies(
        "CREATE TABLE item (id integer PRIMARY KEY); GRANT INSERT ON item TO other", entry("item", "id")
    )
    with copies.connect(role="other") as other:
        other.execute("CREATE TEMPORARY TABLE log_1 (id integer)")
        other.execute("SET search_path = pg_temp, public")
        other.execute("INSERT INTO public.item VALUES (1)")
        with pytest.raises(Exception, match="permission denied"):
            other.execute("DELETE FROM poolpair.log_1")
    assert copies.carry().groups == 1


def test_rows_that_only_the_target_refuses_are_parked_alone(make_copies: MakeCopies) -> None:
    """A shorter column, a domain, a check, an unknown reference: each parks its own group, and nothing else waits."""
    schema = "CREATE TABLE item (id integer PRIMARY KEY, value text, other integer)"
    copies = make_copies(schema, entry("item", "id"))
    copies.write(
        "ALTER TABLE item ALTER value TYPE varchar(3), ADD CHECK (value <> 'bad'), ADD FOREIGN KEY (other) REFERENCES item",
        at="target",
    )
    assert copies.target.parked() == ()
    copies.write(
        "INSERT INTO item VALUES (1, 'ok', NULL), (2, 'long', NULL), (3, 'bad', NULL), (4, 'x', 9), (6, 'y', 1)"
    )
    (waits,) = copies.carry(prune=False).waiting
    assert "column value is text" in waits.reason, "varchar is not text: that is a migration, not a row"
    copies.token = 0
    copies.write("ALTER TABLE item ALTER value TYPE varchar(9)")
    copies.carry()
    assert {group.key for group in copies.target.parked()} == {"id=2", "id=3", "id=4"}
    assert len(copies.content("item", at="target")) == 2


def test_a_column_that_one_side_gains_makes_its_table_wait(make_copies: MakeCopies) -> None:
    """The package is applied without that table and says so; after the migration older log entries can be carried too."""
    copies = make_copies("CREATE TABLE item (id integer PRIMARY KEY)", entry("item", "id"))
    copies.write("INSERT INTO item VALUES (1)")
    copies.carry()
    copies.write("ALTER TABLE item ADD value text DEFAULT 'new'", "INSERT INTO item VALUES (2, 'x')")
    copies.origin.check_capture()
    done = copies.carry(prune=False)
    assert [str(table) for table in done.waiting] == ["table item waits: column value is lacking here"]
    assert (done.groups, copies.content("item", at="target")) == (0, ["(1)"])
    copies.write("ALTER TABLE item ADD value text DEFAULT 'new'", at="target")
    copies.token = 0
    assert copies.carry().waiting == ()
    copies.assert_equal(["item"])
    copies.write("ALTER TABLE item DROP value", at="target")
    copies.write("ALTER TABLE item DROP value", "DELETE FROM item WHERE id = 1")
    copies.origin.check_capture()
    copies.carry()
    copies.assert_equal(["item"])


def test_a_key_that_becomes_wider_is_followed(make_copies: MakeCopies) -> None:
    """After a key column changed its type on both sides, what was logged and what was parked goes on in the new one."""
    schema = "CREATE TABLE item (id integer PRIMARY KEY, value varchar(9))"
    copies = make_copies(schema, entry("item", "id"))
    copies.write("ALTER TABLE item ADD CHECK (value <> 'bad')", at="target")
    copies.write("INSERT INTO item VALUES (1, 'old'), (2, 'bad')")
    copies.carry()
    copies.write("UPDATE item SET value = 'logged' WHERE id = 1")
    for at in ("origin", "target"):
        copies.write("ALTER TABLE item ALTER id TYPE bigint, ALTER value TYPE text", at=at)
    copies.origin.check_capture()
    copies.write("INSERT INTO item VALUES (5000000000, 'new')")
    assert copies.carry().groups == 2
    (parked,) = copies.target.parked()
    copies.write("ALTER TABLE item DROP CONSTRAINT item_value_check", at="target")
    assert copies.target.retry_parked(parked.group_id) is None
    copies.assert_equal(["item"])


def test_what_a_trigger_writes_beside_an_apply_is_captured(make_copies: MakeCopies) -> None:
    """Rows of the target's own home, made by its application's triggers as rows arrive, are its own changes; what arrives is not."""
    schema = """
    CREATE TABLE item (id integer PRIMARY KEY); CREATE TABLE note (home text, id integer, PRIMARY KEY (home, id));
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO public.note VALUES ('b', NEW.id), ('c', NEW.id); RETURN NEW; END $$;
    """
    noted = "[[tables]]\nname = 'note'\nkey = ['home', 'id']\nhome_key = 'home'\n"
    copies = make_copies(schema, entry("item", "id") + noted)
    copies.write("CREATE TRIGGER note AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION note()", at="target")
    copies.install(copies.target_name, [*HOMES, (2, "b", "b"), (3, "c", "a")])
    copies.write("INSERT INTO item VALUES (1), (2)")
    copies.carry(beside=2)
    with copies.target.transaction() as tx:
        assert tx.drop_foreign(USERS, ("b",)).foreign == 0
        assert tx.pending(USERS, 0) == 2


def test_triggers_of_the_application(make_copies: MakeCopies) -> None:
    """With "fire" they run on rows that arrive, with "skip" they do not, and afterwards they run again."""
    schema = """
    CREATE TABLE item (id integer PRIMARY KEY); CREATE TABLE quiet (id integer PRIMARY KEY); CREATE TABLE seen (what text);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (TG_TABLE_NAME); RETURN NEW; END $$;
    CREATE TRIGGER see AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER see AFTER INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION see();
    """
    copies = make_copies(schema, entry("item", "id") + entry("quiet", "id", more='triggers = "skip"'))
    copies.write("INSERT INTO item VALUES (1); INSERT INTO quiet VALUES (1)")
    copies.carry()
    assert copies.content("seen", at="target") == ["(item)"]
    copies.target.check_capture()
    copies.write("INSERT INTO quiet VALUES (2)", at="target")
    assert copies.content("seen", at="target") == ["(item)", "(quiet)"]


def test_triggers_that_are_skipped_stay_as_they_were(make_copies: MakeCopies) -> None:
    """Those of partitions are skipped too; one that fires always, or only for replicas, or not at all, does so afterwards as before."""
    schema = """
    CREATE TABLE quiet (id integer PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE seen (what text);
    CREATE TABLE quiet_low PARTITION OF quiet FOR VALUES FROM (0) TO (100);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (TG_NAME); RETURN NEW; END $$;
    CREATE TRIGGER whole AFTER INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER part AFTER INSERT ON quiet_low FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER always AFTER INSERT ON quiet_low FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER replica AFTER INSERT ON quiet_low FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER never AFTER INSERT ON quiet_low FOR EACH ROW EXECUTE FUNCTION see();
    ALTER TABLE quiet_low ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER never;
    """
    copies = make_copies(schema, entry("quiet", "id", more='triggers = "skip"'))
    states = "SELECT tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal AND tgname !~ 'poolpair' ORDER BY 1, tgrelid"
    with copies.connect(at="target") as connection:
        before = connection.execute(states).fetchall()
        copies.write("INSERT INTO quiet VALUES (1)")
        copies.carry()
        assert copies.content("seen", at="target") == []
        assert connection.execute(states).fetchall() == before


SKIPPED = """
CREATE TABLE room (id integer PRIMARY KEY);
CREATE TABLE quiet (id integer PRIMARY KEY, room integer REFERENCES room DEFERRABLE, place integer UNIQUE DEFERRABLE);
CREATE TABLE seen (what text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (TG_NAME); RETURN NEW; END $$;
CREATE TRIGGER see AFTER INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER always AFTER INSERT ON quiet FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE quiet ENABLE ALWAYS TRIGGER always;
"""


@pytest.mark.parametrize("role", ["app", "dba"])
def test_where_triggers_are_skipped_constraints_hold(make_copies: MakeCopies, role: str) -> None:
    """References and unique values that can wait are looked at all the same, whether the role owns the tables or may do anything."""
    copies = make_copies(SKIPPED, entry("room", "id") + entry("quiet", "id", more='triggers = "skip"'))
    copies.target.close()
    copies.target = copies.open_url(copies.cluster.url(copies.target_name, role))
    copies.write("INSERT INTO room VALUES (1)", "INSERT INTO quiet VALUES (1, 1, 1), (2, 1, 2)")
    assert copies.carry().parked == 0
    copies.assert_equal(["room", "quiet"])
    copies.write("INSERT INTO quiet VALUES (9, 1, 3)", at="target")
    copies.write("DELETE FROM seen", at="target")
    copies.write("BEGIN; UPDATE quiet SET place = 3 - place; INSERT INTO quiet VALUES (3, 1, 3), (4, NULL, 4); COMMIT")
    assert copies.carry().parked == 1
    assert copies.content("quiet", at="target") == ["(1,1,2)", "(2,1,1)", "(4,,4)", "(9,1,3)"]
    assert copies.content("seen", at="target") == []
