"""Ports with a gate before and after each of their calls, where processes die, errors happen and others take a step.

`Gated` stands in for any port. A call that gives back a context is gated again when the context is entered and left, and what it yields is
gated too, so that a process can die in the middle of a transaction. The gate counts calls; what happens at which call is planned
in the step that runs (`steps.Trip`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from poolpair.errors import Code, PoolpairError
from poolpair.testing.steps import Step, Trip, TripKind


class ProcessEnd(BaseException):
    """A pool's process ends here; no handler of the production code may stop it."""

    def __init__(self, pool: str) -> None:
        super().__init__(pool)
        self.pool = pool


ERRORS: dict[str, tuple[Code, ...]] = {
    "store": (Code.STORE_LOCKED, Code.STORE_BROKEN),
    "own": (Code.SHARE_FAILED, Code.SHARE_DENIED, Code.SHARE_FULL),
    "other": (Code.SHARE_FAILED, Code.SHARE_MISSING, Code.SHARE_FULL),
    "tree": (Code.TREE,),
}
NEVER_RAISES = {
    "hooks.run",
    "hooks.application",
    "hooks.down",
    "own.changed_hint",
    "own.check_access",
    "other.check_access",
    "other.forget",
    "tree.hint",
    "tree.now_ns",
    "store.close",
    "store.refresh",
    "store.release_lease",
}
FAILS_AFTER = {
    "other.bring",
    "own.remove",
    "own.quarantine",
    "own.write_small",
    "other.deliver",
    "other.replace",
    "tree.place",
    "tree.placing.put",
    "tree.placing.write",
    "tree.remove",
    "tree.set_aside",
}
"""Calls that a file server may carry out and report failed all the same."""
APPLY = "store.incoming.apply"
RECOVER = "store.incoming.recover"
LIST = "own.list"
PLACING = "tree.placing"
DELIVER = "other.deliver"
TURN_AWAY = "own.quarantine"
WATCHED = {APPLY, RECOVER, DELIVER, TURN_AWAY, "store.snapshot", "store.snapshot.export"}
"""What the truth is told of; see `watching`."""
WRITES = {"other.bring", "other.deliver", "other.replace", "own.write_small", "own.prepare", "own.quarantine"}
CHANGES = WRITES | {"own.remove", "own.sweep_temp"}


@dataclass(slots=True)
class Mode:
    """How a share is for one pool at the moment."""

    down: bool = False
    full: bool = False
    read_only: bool = False
    slow_s: float = 0.0
    stale: bool = False
    reordered: bool = False
    listings: dict[str, Any] = field(default_factory=dict)


Watch = Callable[[str, bool, tuple[Any, ...]], None]
"""Is told of each call: its point, whether it is over, its arguments."""


class Gate:
    """The one place through which every port call of a pool's services passes."""

    def __init__(
        self, pool: str, interlude: Callable[[Step], None], advance: Callable[[float], None], watch: Watch
    ) -> None:
        self.pool = pool
        self.modes = {"own": Mode(), "other": Mode()}
        self.fired: Counter[str] = Counter()
        self.calls = 0
        self.fuse: Trip | None = None
        """What goes wrong at the `at`-th call of the whole run; a sweep sets it."""
        self.passed: list[str] = []
        """Every point of the run."""
        self.writing = 0
        """Write transactions that this pool's services hold open now."""
        self._trips: dict[int, Trip] = {}
        self._interlude = interlude
        self._advance = advance
        self._watch = watch
        self._points: list[str] = []

    def heal(self) -> None:
        """Both shares are well again."""
        self.modes = {port: Mode(listings=mode.listings) for port, mode in self.modes.items()}

    def arm(self, trips: tuple[Trip, ...]) -> None:
        """Begin a step."""
        self.calls = 0
        self._trips = {trip.at: trip for trip in trips}
        self._points = []

    def told(self) -> str:
        """What fired in this step, for the trace."""
        return " ".join(self._points)

    def before(self, port: str, point: str, args: tuple[Any, ...]) -> None:
        """Pass the point ahead of a call."""
        self.calls += 1
        self.passed.append(point)
        if port in self.modes:
            self._suffer_mode(port, point)
        trip = self._trips.pop(self.calls, None) if self._trips else None
        if self.fuse is not None and self.fuse.at == len(self.passed):
            trip = self.fuse
        if trip is not None:
            self._trip(trip, port, point)
        if point in WATCHED:
            self._watch(point, False, args)

    def _trip(self, trip: Trip, port: str, point: str) -> None:
        match trip.kind:
            case TripKind.INTERLUDE if trip.then is not None:
                self._note(trip.kind, point)
                self._interlude(trip.then)
            case TripKind.SLOW:
                self._note(trip.kind, point)
                self._advance(float(trip.number % 90))
            case TripKind.CRASH_BEFORE:
                self._note(trip.kind, point)
                raise ProcessEnd(self.pool)
            case TripKind.ERROR if point not in NEVER_RAISES:
                self._note(trip.kind, point)
                codes = ERRORS[port]
                raise PoolpairError(codes[trip.number % len(codes)], f"simulated at {point}")
            case TripKind.FAILS_AFTER if point in FAILS_AFTER:
                self._trips[-self.calls] = trip
            case TripKind.CRASH_AFTER:
                self._trips[-self.calls] = trip
            case _:  # not at this call: at the next one
                self._trips.setdefault(self.calls + 1, trip)

    def after(self, point: str, args: tuple[Any, ...], result: Any) -> Any:  # noqa: ANN401
        """Pass the point behind a call; gives what the caller shall see of the result."""
        if point in WATCHED:
            self._watch(point, True, args)
        trip = self._trips.pop(-self.calls, None) if self._trips else None
        if trip is not None:
            self._note(trip.kind, point)
            if trip.kind is TripKind.CRASH_AFTER:
                raise ProcessEnd(self.pool)
            raise PoolpairError(Code.SHARE_FAILED if "tree" not in point else Code.TREE, f"simulated after {point}")
        return result if point != LIST else self._seen(args, result)

    def _note(self, kind: str, point: str) -> None:
        self.fired[kind] += 1
        self._points.append(f"{kind}@{self.calls}:{point}")

    def _suffer_mode(self, port: str, point: str) -> None:
        mode = self.modes[port]
        if point in NEVER_RAISES or point.count(".") > 1:
            return
        if mode.slow_s:
            self.fired["share-slow"] += 1
            self._advance(mode.slow_s)
        if mode.down:
            self.fired["share-down"] += 1
            raise PoolpairError(Code.SHARE_MISSING, f"simulated: the share of {port} is not to be reached")
        if mode.full and point in WRITES:
            self.fired["share-full"] += 1
            raise PoolpairError(Code.SHARE_FULL, "simulated: no space is left")
        if mode.read_only and point in CHANGES:
            self.fired["share-read-only"] += 1
            raise PoolpairError(Code.SHARE_READ_ONLY, "simulated: the share is read-only")

    def _seen(self, args: tuple[Any, ...], result: Any) -> Any:  # noqa: ANN401
        """A listing as a caching client shows it."""
        mode, folder = self.modes["own"], args[0]
        if mode.stale:
            self.fired["share-stale"] += 1
            return mode.listings.get(folder, result)
        mode.listings[folder] = result
        if mode.reordered:
            self.fired["share-reordered"] += 1
            return tuple(reversed(result))
        return result


class Gated:
    """Any port, or what a port's context yields, behind a gate."""

    def __init__(self, target: object, port: str, path: str, gate: Gate) -> None:
        self._target = target
        self._port = port
        self._path = path
        self._gate = gate

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        found = getattr(self._target, name)
        if not callable(found) or name.startswith("_"):
            return found
        gated = self._gated(found, f"{self._path}.{name}")
        self.__dict__[name] = gated
        return gated

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._target, name, value)

    def _gated(self, call: Callable[..., Any], point: str) -> Callable[..., Any]:
        gate, port = self._gate, self._port

        def gated(*args: Any, **more: Any) -> Any:  # noqa: ANN401
            gate.before(port, point, args)
            if point in {APPLY, RECOVER}:
                *others, record = args
                args = (*others, Gated._recorded(gate, port, point, record))
            result = call(*args, **more)
            if isinstance(result, AbstractContextManager):
                return GatedContext(result, port, point, gate, args)
            return gate.after(point, args, result)

        return gated

    @staticmethod
    def _recorded(gate: Gate, port: str, point: str, record: Callable[..., None]) -> Callable[..., None]:
        """What an apply records is the middle of its transaction."""

        def recorded(*args: Any) -> None:  # noqa: ANN401
            gate.before(port, f"{point}.record", ())
            record(*args)
            gate.after(f"{point}.record", (), None)

        return recorded


class GatedContext:
    """A context of a port: gated when it was entered and before and after it is left."""

    def __init__(
        self, context: AbstractContextManager[object], port: str, point: str, gate: Gate, args: tuple[Any, ...]
    ) -> None:
        self._context = context
        self._port = port
        self._point = point
        self._gate = gate
        self._args = args
        self._writes = point == "store.transaction"

    def __enter__(self) -> Any:  # noqa: ANN401
        found = self._context.__enter__()
        self._gate.writing += self._writes
        try:
            self._gate.after(self._point, self._args, found)
        except BaseException as error:  # whatever happens at the gate, the context is left
            self._gate.writing -= self._writes
            self._context.__exit__(type(error), error, error.__traceback__)
            raise
        if self._port == "store" or self._point == PLACING:
            return Gated(found, self._port, self._point, self._gate)
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if kind is None:
            try:
                self._gate.before(self._port, f"{self._point}.end", self._args)
            except BaseException as death:  # whatever happens at the gate, the context is left
                self._gate.writing -= self._writes
                self._context.__exit__(type(death), death, death.__traceback__)
                raise
        self._gate.writing -= self._writes
        result = self._context.__exit__(kind, error, trace)
        if kind is None:
            self._gate.after(f"{self._point}.end", self._args, None)
        return result
