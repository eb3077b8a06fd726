"""The table that is copied, 300 bytes a row, and what is done to it. All of it runs inside the server, and is the same for every peer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench.server import Server

TABLE = """
CREATE TABLE userdata (
  host text NOT NULL, "user" text NOT NULL, store text NOT NULL, key text NOT NULL, value text NOT NULL,
  version bigint NOT NULL, mtime timestamptz NOT NULL, PRIMARY KEY (host, "user", store, key))
"""
MARK = "host = 'a.example' AND \"user\" = 'mark' AND store = 'mark' AND key = 'mark'"
_SAME = "t.host = 'a.example' AND t.\"user\" = user_of(p.i) AND t.store = store_of(p.i) AND t.key = md5(p.i::text)"
ROWS_PER_USER = 100
MADE_ROWS = 1_000_000
"""So many values are made, which costs more than all else; beyond, they come again with other etags."""
FILLERS = 2
_STORE = "SELECT (ARRAY['contacts', 'groups', 'acl', 'presence', 'settings'])[i % 5 + 1]"
_USER_OF = """
CREATE FUNCTION user_of(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'user' || lpad((i / {each})::text, 7, '0') $$"""
_FUNCTIONS = (
    f"CREATE FUNCTION store_of(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ {_STORE} $$",
    """
CREATE FUNCTION value_of(i bigint, salt bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT format('{"etag":"%s","displayName":"%s %s","uri":"sip:%s@a.example","groups":["Work","Team %s","All contacts"],'
    '"phone":"+1 (425) 555-%s","subscribed":%s,"externalUri":false,"note":"updated by client %s on behalf of %s",'
    '"modified":"2013-10-23T%s:%s:%sZ"}', left(h, 16), initcap(translate(left(h, 5), '0123456789', 'ghijklmnop')),
    initcap(translate(right(h, 7), '0123456789', 'ghijklmnop')), substr(h, 9, 9), x % 97, lpad((x % 10000)::text, 4, '0'),
    x % 2 = 0, x % 31, substr(h, 20, 6), lpad((x % 24)::text, 2, '0'), lpad((x % 60)::text, 2, '0'), lpad((x % 59)::text, 2, '0'))
  FROM (SELECT h, ('x' || left(h, 8))::bit(32)::bigint AS x FROM (SELECT md5(i || ':' || salt) AS h) hashed) numbered $$""",
    "CREATE TABLE pick (place bigint PRIMARY KEY, kind text, i bigint)",
    f"""
CREATE PROCEDURE change(round bigint, lot bigint) LANGUAGE plpgsql AS $$
DECLARE low bigint := 0; high bigint; last bigint;
BEGIN
  SELECT max(place) INTO last FROM pick;
  WHILE low <= last LOOP
    high := low + lot - 1;
    UPDATE userdata t SET value = value_of(p.i, round), version = t.version + 1, mtime = clock_timestamp() FROM pick p
      WHERE p.place BETWEEN low AND high AND p.kind = 'u' AND {_SAME};
    INSERT INTO userdata SELECT 'a.example', user_of(p.i), store_of(p.i), md5(p.i::text), value_of(p.i, round), 1, clock_timestamp()
      FROM pick p WHERE p.place BETWEEN low AND high AND p.kind = 'i';
    DELETE FROM userdata t USING pick p WHERE p.place BETWEEN low AND high AND p.kind = 'd' AND {_SAME};
    COMMIT;
    low := low + lot;
  END LOOP;
  UPDATE userdata SET version = version + 1 WHERE {MARK};
END $$""",
)


def fill(server: Server, database: str, rows: int, rows_per_user: int = ROWS_PER_USER) -> None:
    """A database with the table, filled and at rest."""
    server.create(database)
    server.run(database, "SET ROLE app", TABLE, _USER_OF.format(each=rows_per_user), *_FUNCTIONS)
    server.run(
        database,
        "CREATE TABLE made AS SELECT i AS n, value_of(i, 0) AS value"
        f" FROM generate_series(0::bigint, {min(rows, MADE_ROWS) - 1}) i",
        "ANALYZE made",
    )
    parts = [rows * number // FILLERS for number in range(FILLERS + 1)]
    with ThreadPoolExecutor(FILLERS) as fillers:
        list(fillers.map(lambda first, end: server.run(database, *_fill(first, end)), parts, parts[1:]))
    server.run(
        database,
        "DROP TABLE made",
        "INSERT INTO userdata VALUES ('a.example', 'mark', 'mark', 'mark', '', 0, '2013-10-23 00:00:00+00')",
        "VACUUM (FREEZE, ANALYZE) userdata",
    )


def _fill(first: int, end: int) -> tuple[str, ...]:
    value = f"CASE WHEN i < {MADE_ROWS} THEN value ELSE overlay(value PLACING left(md5(i || ':0'), 16) FROM 10) END"
    columns = f"'a.example', user_of(i), store_of(i), md5(i::text), {value}, 1, '2013-10-23 00:00:00+00'"
    source = f"generate_series({first}::bigint, {end - 1}) i JOIN made ON n = i % {MADE_ROWS}"
    return "SET work_mem = '1GB'", f"INSERT INTO userdata SELECT {columns} FROM {source}"


def empty(server: Server, database: str) -> None:
    """The same database without rows."""
    server.create(database)
    server.run(database, "SET ROLE app", TABLE)


def pick_changes(server: Server, database: str, rows: int, number: int) -> None:
    """Choose what a round changes, in random order: 20 % of the rows updated, 2 % inserted, 2 % deleted."""
    updates, each = rows // 5, rows // 50
    fresh, gone = rows + number * each, rows * 4 // 5 + number * each
    server.run(
        database,
        "TRUNCATE pick",
        f"""
INSERT INTO pick SELECT row_number() OVER (ORDER BY md5(kind || i || {number})) - 1, kind, i FROM (
  (SELECT 'u' AS kind, i FROM generate_series(0::bigint, {rows * 4 // 5 - 1}) i ORDER BY md5(i || 'u{number}') LIMIT {updates})
  UNION ALL SELECT 'i', i FROM generate_series({fresh}::bigint, {fresh + each - 1}) i
  UNION ALL SELECT 'd', i FROM generate_series({gone}::bigint, {gone + each - 1}) i) chosen""",
        "ANALYZE pick",
    )


def pick_hot(server: Server, database: str, keys: int, times: int) -> None:
    """Choose the same rows again and again."""
    server.run(
        database,
        "TRUNCATE pick",
        "INSERT INTO pick SELECT row_number() OVER (ORDER BY n, md5(i || ':' || n)) - 1, 'u', i"
        f" FROM generate_series(0::bigint, {times - 1}) n, generate_series(0::bigint, {keys - 1}) i",
        "ANALYZE pick",
    )


def change(server: Server, database: str, number: int, lot: int = 100) -> int:
    """Do what was chosen, in transactions of `lot` rows; returns the version that the mark then has."""
    with server.connect(database, "app") as connection:
        connection.execute(f"CALL change({number}, {lot})")
    return mark(server, database)


def mark(server: Server, database: str) -> int:
    """The version of the mark, which every round raises last."""
    return int(server.number(database, f"SELECT version FROM userdata WHERE {MARK}"))


def changed_bytes(server: Server, database: str) -> int:
    """What the changed rows are as text, in their final state; of a deleted one its key."""
    written = f"SELECT octet_length(t::text) FROM userdata t JOIN pick p ON p.kind <> 'd' AND {_SAME}"
    deleted = (
        "SELECT octet_length(ROW('a.example', user_of(i), store_of(i), md5(i::text))::text) FROM pick WHERE kind = 'd'"
    )
    return int(server.number(database, f"SELECT sum(octet_length) FROM ({written} UNION ALL {deleted}) parts"))


def fingerprint(server: Server, database: str) -> tuple[object, ...]:
    """Count and hash of every row."""
    row = server.run(database, "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM userdata t")[0]
    return tuple(row)
