"""A management store that cannot be read when it is needed least: nobody's users wait for documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolpair.api.bodies import MoveBody
from poolpair.api.orders import move
from poolpair.lab.pool import run_command
from poolpair.management.before import refuse_before_store
from poolpair.management.effective import load_effective
from poolpair.management.holding import management_of, prepare_management
from poolpair.wiring import open_site
from tests.pair import Pair, make_pair

LOST = "who holds the central management store cannot be told"


@pytest.fixture(params=["never prepared", "lost", "broken"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Pool a is dead, its copy is whole at b, and the management store of b cannot be read."""
    made = make_pair(tmp_path, extra='[cms]\nhome = "a"\n')
    for pool in ("a", "b"):
        made.start(pool)
    made.settle()
    for pool in ("a", "b"):
        made.stop(pool)
    if request.param == "never prepared":
        return made
    config = load_effective(made.toml("b"))
    prepare_management(config)
    file = Path(management_of(config).store.removeprefix("sqlite:///"))
    for path in (file, *file.parent.glob(f"{file.name}-*")):
        path.unlink()
    if request.param == "broken":
        file.write_bytes(b"no database" * 1000)
        file.chmod(0o600)
    return made


def test_users_are_taken_over_without_the_management_store(pair: Pair) -> None:
    """After a disaster the command says that nobody knows who holds it, and goes on; a planned move is refused, with both ways out."""
    b = ("-c", str(pair.toml("b")))
    planned = run_command(*b, "failover", "a", "--yes")
    assert planned.exit_status != 0
    assert LOST in planned.talk
    assert "--disaster" in planned.talk
    what_if = run_command(*b, "failover", "a", "--disaster", "--what-if")
    assert what_if.exit_status == 0, what_if.talk
    assert LOST in what_if.talk
    done = run_command(*b, "failover", "a", "--disaster", "--yes")
    assert done.exit_status == 0, done.talk
    assert LOST in done.talk
    assert "cms failover --disaster" in done.talk
    assert pair.status("b").homes_served == ("a", "b")


def test_an_order_over_http_goes_on_without_it_too(pair: Pair) -> None:
    """By the same function as the command; the answer says what was not told."""
    pair.start("b")
    config = load_effective(pair.toml("b"))
    order = move(
        "a",
        "failover",
        MoveBody(confirm="a", disaster=True),
        lambda pool, disaster: refuse_before_store(config, pool, disaster=disaster),
    )
    site = open_site(config)
    try:
        said = order.do(site)
    finally:
        site.store.close()
    assert "failover a --disaster: order; " + LOST in str(said)
