-- What `init` puts into the schema poolpair of the application's database, whatever the profile says.
-- Each statement may run again and then changes nothing.

CREATE TABLE IF NOT EXISTS poolpair.turn ();   -- locked by whoever writes: one transaction of ours at a time

CREATE TABLE IF NOT EXISTS poolpair.document (name text COLLATE "C" PRIMARY KEY, body text NOT NULL);

CREATE TABLE IF NOT EXISTS poolpair.home (
  poolpair_rank integer PRIMARY KEY, poolpair_pattern text NOT NULL,
  poolpair_like text NOT NULL,                 -- the pattern as LIKE reads it
  poolpair_pool text NOT NULL);

CREATE TABLE IF NOT EXISTS poolpair.token (
  number bigint PRIMARY KEY,                   -- what the line knows of a token
  snapshot pg_snapshot NOT NULL);              -- what was committed when it was drawn

CREATE TABLE IF NOT EXISTS poolpair.doubt (tbl text NOT NULL, reason text NOT NULL);   -- changes that no trigger could see

CREATE TABLE IF NOT EXISTS poolpair.lease (
  id integer PRIMARY KEY CHECK (id = 1), number bigint NOT NULL, holder text NOT NULL, front_end text NOT NULL, since_utc text NOT NULL);

CREATE TABLE IF NOT EXISTS poolpair.file (
  path bytea PRIMARY KEY, size bigint NOT NULL, mtime_ns bigint NOT NULL, inode numeric NOT NULL, mode integer NOT NULL,
  ctime_ns bigint NOT NULL, sha256 text NOT NULL, home text NOT NULL, conference text NOT NULL,
  present boolean NOT NULL,                    -- false: deleted; kept until the deletion is acknowledged
  gen bigint NOT NULL,                         -- 0: nothing to send; -1: changed here by somebody; else it is after token gen - 1
  placed_digest text NOT NULL DEFAULT '',            -- digest that an apply is about to place here
  deleting boolean NOT NULL DEFAULT false);    -- an applied deletion that may not have reached the disk

CREATE INDEX IF NOT EXISTS file_gen ON poolpair.file (gen) WHERE gen > 0;

CREATE TABLE IF NOT EXISTS poolpair.spool_file (   -- files of a home as they were when another reign was adopted
  number bigint NOT NULL, path bytea NOT NULL, size bigint NOT NULL, mtime_ns bigint NOT NULL, mode integer NOT NULL,
  sha256 text NOT NULL, home text NOT NULL, conference text NOT NULL, present boolean NOT NULL, PRIMARY KEY (number, path));

CREATE TABLE IF NOT EXISTS poolpair.parked (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tbl integer NOT NULL, channel text NOT NULL, key text NOT NULL, reason text NOT NULL,
  package_id text NOT NULL, since_utc text NOT NULL,
  snapshot pg_snapshot NOT NULL);              -- what somebody writes here after it is newer than what is parked

CREATE TABLE IF NOT EXISTS poolpair.ledger (
  home text NOT NULL, entry_id text NOT NULL, channel text NOT NULL, tbl text NOT NULL, tkey text NOT NULL, why text NOT NULL,
  reign_id text NOT NULL, theirs text NOT NULL, ours text NOT NULL,
  state text NOT NULL, since_utc text NOT NULL, decided_utc text NOT NULL,
  poolpair_place bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (home, entry_id));
