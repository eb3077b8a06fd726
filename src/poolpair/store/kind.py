"""What a kind of database is to wiring and to the commands: how a store on it is opened, prepared, described and cleared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from poolpair.clock import Clock
from poolpair.store.counting import Contents, Owner
from poolpair.store.drafting import Described
from poolpair.store.port import Snapshot, Store
from poolpair.store.prepared import Farewell, Installed, InstalledSettings, Record
from poolpair.store.profile import Profile
from poolpair.store.profile_check import Problem


class WholeView(Snapshot, Protocol):
    """A read view of the whole database."""

    def copy_whole(self, target: str) -> None:
        """Copy everything that is seen to the empty database of another URL. Raises DRILL, SCRATCH."""
        ...


@runtime_checkable
class StoreHandle(Store, Protocol):
    """A store as one thread of a service has it."""

    @property
    def lease_number(self) -> int | None:
        """The fencing number, if this handle works under a lease."""
        ...

    def join_lease(self, number: int | None) -> None:
        """Work under the lease that another handle of this process holds; said again each second, that the process lives."""
        ...

    def snapshot(self, rows: Path | None = None) -> AbstractContextManager[WholeView]:
        """A read view that can be copied, too."""
        ...


class StoreKind(Protocol):
    """One database, by its URL. Raises STORE_*, PROFILE."""

    def shown(self) -> str:
        """The database for people, without any secret."""
        ...

    def local_file(self) -> Path | None:
        """The database's own file, if it is one: it must not lie on a network, and scratch lies beside it."""
        ...

    def open(self, profile: Profile, clock: Clock) -> StoreHandle:
        """Open a handle."""
        ...

    def statements(self, profile: Profile, homes: Iterable[tuple[int, str, str]]) -> Iterator[str]:
        """What `install` would run, for a person to read."""
        ...

    def install(
        self, profile: Profile, homes: Sequence[tuple[int, str, str]], settings: str, record: Record
    ) -> Installed:
        """Prepare the database."""
        ...

    def uninstalled(self, *, keep_wal: bool) -> AbstractContextManager[tuple[str, ...]]:
        """Remove everything of poolpair's; until the context ends no service can begin."""
        ...

    def unpaired(self, profile: Profile, pool: str, farewell: Farewell) -> tuple[str, ...]:
        """Remove everything but the ledger, which is `pool`'s from now on, and rows kept aside; returns what was removed. Raises LEASE."""
        ...

    def described(self) -> Described:
        """Every table of the application's."""
        ...

    def prepared(self) -> InstalledSettings | None:
        """With what `init` prepared the database; None if it is new to poolpair."""
        ...

    def problems(self, profile: Profile) -> tuple[Problem, ...]:
        """Why a profile does not fit the tables, and what there is to know."""
        ...

    def contents(self, profile: Profile, owner: Owner) -> Iterator[Contents]:
        """Count what each entry of a profile holds; needs no `init`, and only reads. `owner` says whose a home key is."""
        ...

    def health(self, profile: Profile) -> str:
        """Say in one line that the database is as it should be; raises if it is not."""
        ...

    def spare(self, folder: Path, name: str, *, keep: bool) -> AbstractContextManager[str]:
        """A place for a copy of this database, gone when the context ends unless it is to be kept; gives its URL. Raises DRILL."""
        ...

    def size_bytes(self) -> int:
        """How large the database is: a first copy takes about as much."""
        ...
