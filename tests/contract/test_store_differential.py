"""Both kinds of store, given the same writes and packages, agree after every step. SQLite is the judge of the one in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolpair.model import BucketSet, Channel
from poolpair.store.memory.disk import RowRefused
from tests.cluster import Cluster
from tests.contract.benches import POISON, Bench, memory_bench, prepared_database, sqlite_bench
from tests.contract.carrying import advance, carry, differences, digests, settle_log
from tests.contract.postgres_bench import postgres_bench

USERS = Channel.USERS
HOSTS = ("a.example", "b.example", "nowhere.example")
hosts = st.sampled_from(HOSTS)
users = st.sampled_from(("u1", "u2", "u3"))
values = st.one_of(
    st.none(), st.integers(-2, 2), st.sampled_from((1.0, 0.5, "", "1", "é", b"", b"1", POISON)), st.text(max_size=2)
)


@dataclass(frozen=True)
class Account:
    """Write or delete one account."""

    pool: int
    host: str
    user: str
    value: object
    gone: bool

    def do(self, side: Side) -> object:
        rows = [] if self.gone else [(self.host, self.user, self.value)]
        return side.write(self.pool, "account", (self.host, self.user), rows)


@dataclass(frozen=True)
class Setting:
    """Replace one group of settings."""

    pool: int
    host: str
    user: str
    store: str
    values: tuple[object, ...]

    def do(self, side: Side) -> object:
        key = (self.host, self.user, self.store)
        return side.write(self.pool, "setting", key, [(*key, "name", value) for value in self.values])


@dataclass(frozen=True)
class Rekey:
    """Rename an account, if there is no other of that name."""

    pool: int
    old: str
    new: str

    def do(self, side: Side) -> object:
        bench = side.benches[self.pool]
        names = {row[1] for row in bench.rows("account") if row[0] == "a.example"}
        if self.old in names and self.new not in names:
            bench.rekey("account", ("a.example", self.old), ("a.example", self.new))
        return names


@dataclass(frozen=True)
class Carry:
    """Carry a delta, or a seed of what differs, from one pool to the other; from the last token or from the beginning."""

    origin: int
    seed: bool
    superset: bool
    poison_refused: bool

    def do(self, side: Side) -> object:
        return side.carry(self)


@dataclass(frozen=True)
class Unpark:
    """Try every parked group again, or drop it."""

    pool: int
    drop: bool
    poison_refused: bool

    def do(self, side: Side) -> object:
        return side.unpark(self)


Step = Account | Setting | Rekey | Carry | Unpark


@dataclass
class Side:
    """A pair of pools on one kind of store. Without `by_digest` only who differs is compared, not by which number."""

    benches: tuple[Bench, Bench]
    rows: Path
    by_digest: bool = True
    tokens: list[int] = field(default_factory=lambda: [0, 0])

    def write(self, pool: int, table: str, key: tuple[object, ...], rows: Sequence[tuple[object, ...]]) -> object:
        try:
            self.benches[pool].write(table, key, *rows)
        except RowRefused as error:
            return str(error)
        return None

    def carry(self, step: Carry) -> object:
        origin, target = self.benches[step.origin], self.benches[1 - step.origin]
        home = "ab"[step.origin]
        foreign = [settle_log(bench, (name,)) for bench, name in zip(self.benches, "ab", strict=True)]
        token = advance(origin)
        buckets: tuple[BucketSet, ...] = differences(origin, target, (home,)) if step.seed else ()
        target.refuse_poison(refused=step.poison_refused)
        since = 0 if step.superset else self.tokens[step.origin]
        applied = carry(origin, target, self.rows, since=since, buckets=buckets, served=(home,))
        target.refuse_poison(refused=False)
        self.tokens[step.origin] = token
        # How many rows the slow way wrote is not promised; nor is it that tombstones without a group count.
        counted = (applied.groups, applied.deleted, applied.parked)
        equal = not differences(origin, target, (home,))
        assert equal or not step.seed, "a seed makes the copy equal"
        named = buckets if self.by_digest else tuple(each.table for each in buckets)
        return foreign, counted, equal, named

    def unpark(self, step: Unpark) -> object:
        bench = self.benches[step.pool]
        bench.refuse_poison(refused=step.poison_refused)
        found: list[str | None] = []
        for group in sorted(bench.store.parked(), key=lambda group: (group.table, group.key)):
            if step.drop:
                with bench.store.transaction() as tx:
                    found.append(tx.drop_parked(group.group_id))
            else:
                found.append(bench.store.retry_parked(group.group_id))
        bench.refuse_poison(refused=False)
        return found

    def view(self) -> object:
        """What both kinds must agree on."""
        return [
            (
                digests(bench, ("a", "b")) if self.by_digest else differences(*self.benches, ("a", "b")) != (),
                sorted(map(repr, bench.rows("account"))),
                sorted(map(repr, bench.rows("setting"))),
                bench.store.pending(USERS, 0),
                sorted((group.table, group.key, group.reason) for group in bench.store.parked()),
            )
            for bench in self.benches
        ]

    def close(self) -> None:
        for bench in self.benches:
            bench.store.close()


pools = st.sampled_from((0, 1))
steps = st.lists(
    st.one_of(
        st.builds(Account, pools, hosts, users, values, st.booleans()),
        st.builds(
            Setting,
            pools,
            hosts,
            users,
            st.sampled_from(("roster", "vcard", "local")),
            st.lists(values, max_size=3).map(tuple),
        ),
        st.builds(Rekey, pools, users, users),
        st.builds(Carry, pools, st.booleans(), st.booleans(), st.booleans()),
        st.builds(Unpark, pools, st.booleans(), st.booleans()),
    ),
    min_size=4,
    max_size=14,
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared database to copy."""
    return prepared_database(tmp_path_factory.mktemp("prepared"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(story=steps)
def test_both_kinds_of_store_agree_after_every_step(prepared: Path, story: list[Step]) -> None:
    """Digests, rows, what is pending and what is parked are the same on SQLite and in memory, whatever happens."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        real = Side((sqlite_bench(prepared, folder / "a"), sqlite_bench(prepared, folder / "b")), folder / "rows")
        model = Side((memory_bench("a"), memory_bench("b")), folder / "rows.json")
        try:
            for step in story:
                assert step.do(real) == step.do(model), step
                assert real.view() == model.view(), step
        finally:
            real.close()
            model.close()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(story=steps)
def test_postgresql_agrees_after_every_step(prepared_cluster: Cluster, story: list[Step]) -> None:
    """The same on PostgreSQL, but for digests, which hash what is written there: they must differ where and only where the others do."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        benches = (postgres_bench(prepared_cluster, "a"), postgres_bench(prepared_cluster, "b"))
        real = Side(benches, folder / "rows", by_digest=False)
        model = Side((memory_bench("a"), memory_bench("b")), folder / "rows.json", by_digest=False)
        try:
            for step in story:
                assert step.do(real) == step.do(model), step
                assert real.view() == model.view(), step
        finally:
            for bench in benches:
                bench.drop()
            model.close()
