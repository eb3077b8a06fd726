"""The page's forms: what each says before it is sent, what it asks for, and the order that it makes, checked as the API checks one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError

from poolpair.api import orders
from poolpair.api.bodies import (
    Confirmed,
    DecisionBody,
    EntryId,
    HeldBody,
    MoveBody,
    OnChannels,
    PauseBody,
    ReasonBody,
    VerifyBody,
)
from poolpair.api.drills import Drills
from poolpair.api.orders import Order
from poolpair.errors import Code, PoolpairError
from poolpair.model import Channel

FIELDS_MAX = 20
_ENTRY: TypeAdapter[str] = TypeAdapter(EntryId)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form that was sent."""

    said: dict[str, str]
    here: str
    drills: Drills
    before_move: orders.BeforeMove

    def get(self, name: str) -> str:
        """One field; empty if it was not filled in."""
        return self.said.get(name, "").strip()

    @property
    def confirm(self) -> str:
        """The name that was repeated."""
        return self.get("confirm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of order."""

    name: str
    title: str
    words: str
    """What it does."""
    button: str
    done: str
    """What is said when it was done, or ordered."""
    make: Callable[[Filled], Order]
    confirms: str = ""
    """Which name is repeated: `pool` (the home that the form is about), `here`, or none."""
    wants: tuple[str, ...] = ()
    """Fields that it asks for: `reason`, `repair`, `disaster`, `accept_incomplete`, `force`."""
    keeps: tuple[str, ...] = ()
    """Fields that say what it is about, and go with it."""
    later: str = ""
    """What is said if the service does later what otherwise is done at once."""
    back: str = "/"
    grave: bool = False

    def order(self, filled: Filled) -> Order:
        """The order. Raises REQUEST if a field is not what it should be."""
        try:
            return self.make(filled)
        except (ValidationError, ValueError) as error:
            found = error.errors() if isinstance(error, ValidationError) else []
            kind = orders.Unconfirmed if any("confirm" in each["loc"] for each in found) else PoolpairError
            first = found[0]["msg"] if found else str(error)
            raise kind(Code.REQUEST, f"the form is not filled in as it should be: {first}") from error

    def confirm_name(self, said: dict[str, str], here: str) -> str:
        """What has to be repeated; empty if nothing has."""
        return {"pool": said.get("pool", ""), "here": here}.get(self.confirms, "")


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form as a browser sends it. Raises REQUEST."""
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError as error:
        raise PoolpairError(Code.REQUEST, "this is no form as a browser sends it") from error


def _move(verb: orders.Verb) -> Callable[[Filled], Order]:
    def make(filled: Filled) -> Order:
        body = MoveBody(
            confirm=filled.confirm,
            disaster=filled.get("disaster") == "yes",
            accept_incomplete=filled.get("accept_incomplete") == "yes",
        )
        return orders.move(filled.get("pool"), verb, body, filled.before_move)

    return make


def _abort(filled: Filled) -> Order:
    body = MoveBody(confirm=filled.confirm)
    return orders.move(filled.get("pool"), "failover", body, filled.before_move, abort=True)


def _decide(filled: Filled) -> Order:
    body = DecisionBody.model_validate(
        {"confirm": filled.confirm, "choice": filled.get("choice"), "force": filled.get("force") == "yes"}
    )
    return orders.decide(filled.here, _ENTRY.validate_python(filled.get("entry")), body)


def _held(filled: Filled) -> Order:
    body = HeldBody.model_validate({"confirm": filled.confirm, "decision": filled.get("decision")})
    return orders.held(filled.here, Channel(filled.get("channel")), body)


_ALL = (
    Form(
        name="failover",
        title="Failover",
        words="Let the other pool serve these users.",
        button="Fail over",
        done="The failover is ordered. Its steps are shown as they are taken.",
        make=_move("failover"),
        confirms="pool",
        wants=("disaster", "accept_incomplete"),
        keeps=("pool",),
        grave=True,
    ),
    Form(
        name="failback",
        title="Failback",
        words="Let the users' own pool serve them again.",
        button="Fail back",
        done="The failback is ordered. Its steps are shown as they are taken.",
        make=_move("failback"),
        confirms="pool",
        wants=("disaster", "accept_incomplete"),
        keeps=("pool",),
        grave=True,
    ),
    Form(
        name="abort",
        title="Give up a move",
        words="A planned move is undone; a takeover ends where it is.",
        button="Give it up",
        done="It is being given up.",
        make=_abort,
        confirms="pool",
        keeps=("pool",),
        grave=True,
    ),
    Form(
        name="drill",
        title="Drill",
        words="Rehearse a disaster takeover on a copy. Production goes on; it costs what a backup costs.",
        button="Begin the drill",
        done="The drill has begun. What it finds is shown below.",
        make=lambda filled: orders.drill(filled.drills, filled.get("pool"), Confirmed(confirm=filled.confirm)),
        confirms="pool",
        keeps=("pool",),
    ),
    Form(
        name="verify",
        title="Verify",
        words="Compare the partner's copy of this pool's users with the original, bucket by bucket.",
        button="Compare",
        done="Both copies are being compared.",
        make=lambda filled: orders.verify(VerifyBody(repair=filled.get("repair") == "yes")),
        wants=("repair",),
    ),
    Form(
        name="sync",
        title="Sync",
        words="Force one cycle now.",
        button="Sync now",
        done="A cycle is forced.",
        make=lambda _: orders.sync(OnChannels()),
    ),
    Form(
        name="pause",
        title="Pause",
        words="Send no packages until they are let go. Words go on, and what the partner sends is applied as ever.",
        button="Pause",
        done="No packages are sent until you resume.",
        make=lambda filled: orders.pause(PauseBody(reason=filled.get("reason"))),
        wants=("reason",),
    ),
    Form(
        name="resume",
        title="Resume",
        words="Send what was held back.",
        button="Resume",
        done="What was held back is sent.",
        make=lambda _: orders.resume(OnChannels()),
    ),
    Form(
        name="decide",
        title="Decide",
        words="Let one version stand. The other stays in the entry.",
        button="Decide",
        done="It is decided.",
        later="It is ordered: the service decides once the application has let go. If it cannot, the entry says why.",
        make=_decide,
        confirms="here",
        wants=("force",),
        keeps=("entry", "choice"),
        back="/ledger",
        grave=True,
    ),
    Form(
        name="held",
        title="Held package",
        words="It would delete very much. Apply it if that is meant; refuse it if not: the partner's channel then stops.",
        button="Do it",
        done="It is decided.",
        make=_held,
        confirms="here",
        keeps=("channel", "decision"),
        grave=True,
    ),
    Form(
        name="retry",
        title="Try again",
        words="Try a parked group again.",
        button="Try again",
        done="It was tried again; if it is still listed, it was refused once more.",
        make=lambda filled: orders.retry(int(filled.get("group"))),
        keeps=("group",),
    ),
    Form(
        name="gate",
        title="Open the gate",
        words="Serve although the partner is not heard. If it did take over, users are served at both pools from now on.",
        button="Open the gate",
        done="The gate is open until the partner is heard.",
        make=lambda filled: orders.gate_open(
            filled.here, ReasonBody(confirm=filled.confirm, reason=filled.get("reason"))
        ),
        confirms="here",
        wants=("reason",),
        grave=True,
    ),
)
FORMS = {form.name: form for form in _ALL}
