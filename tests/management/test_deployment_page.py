"""The page and the API of a deployment: who holds the management store, which server has what, how each pool says that it stands.

The picture of the documentation is made here: POOLPAIR_REGOLD=1 puts it into docs/images.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from poolpair.lab.pool import wait_for
from tests.management.deployment import WAIT_S, Plain, deployment
from tests.page.chromium import chromium
from tests.page.ground import api

IMAGES = Path(__file__).parents[2] / "docs" / "images"
Pools = dict[str, Plain]


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pools]:
    """Two pairs; a holds the store, and the file that all watch is published."""
    with deployment(tmp_path_factory.mktemp("deployment")) as made:
        file = made["a"].folder / "app.conf"
        file.write_text("rooms = on\n")
        made["a"].must("cms", "publish", "file/app.conf", str(file))
        wait_for("the file in place everywhere", lambda: made["a"].run("cms", "status").exit_status == 0, WAIT_S)
        yield made


def told(port: int, token: str) -> dict[str, Any]:
    """What `/v1/deployment` says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/v1/deployment", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        assert answer.status == 200, found
        return found
    finally:
        connection.close()


def told_of_all(port: int, token: str) -> dict[str, Any] | None:
    """The same, once every pool's word is in it."""
    found = told(port, token)
    return found if len(found["pools"]) == 4 else None


def token_of(pool: Plain) -> str:
    """A reader's."""
    return pool.must("token", "show", "reader").out.split()[0]


def test_each_server_tells_what_it_knows(pools: Pools) -> None:
    """Where the store is held the servers' replicas; at its copy and at a pool of another pair who holds it, and no more."""
    for name in "abc":
        with api(pools[name]) as port:
            token = token_of(pools[name])
            found = wait_for("every pool's word", partial(told_of_all, port, token), WAIT_S)
        assert {each["word"]["pool"] for each in found["pools"]} == set("abcd")
        assert {each["name"] for each in found["replica"]["documents"]} == {"topology", "file/app.conf"}
        store = found["store"]
        if name == "c":
            assert store is None
            continue
        assert (store["held_by"], store["here"], store["term"]) == ("a", name == "a", 0)
        servers = [(each["state"]["front_end"], each["standing"], each["level"]) for each in store["servers"]]
        wanted = [(f"fe-{each}", "up to date", "healthy") for each in "abcd"]
        assert servers == (wanted if name == "a" else [])


def test_a_store_that_moves_is_not_called_healthy(pools: Pools) -> None:
    """While a planned move waits, `cms status` ends with 1 and the API says what is under way; given up, all is as before."""
    a, b = pools["a"], pools["b"]
    b.kill()
    assert a.run("cms", "failover", "--yes", "--timeout", "1").exit_status == 1
    shown = a.run("cms", "status")
    assert shown.exit_status
    assert "it moves: handover" in shown.out
    with api(a) as port:
        assert "it moves: handover" in told(port, token_of(a))["store"]["under_way"]
    a.run("cms", "failover", "--abort", "--yes", "--timeout", "1")
    b.start()
    wait_for("the store being at rest", lambda: a.run("cms", "status").exit_status == 0, WAIT_S)
    assert "it moves" not in a.run("cms", "status").out


@pytest.mark.timeout(300)
def test_the_page_shows_it_and_stays_true(pools: Pools, tmp_path: Path) -> None:
    """What is published meanwhile is seen without a reload; a server that cannot be written to turns the page, and says why."""
    a, folder = pools["a"], IMAGES if os.environ.get("POOLPAIR_REGOLD") else tmp_path
    with api(a) as port, chromium(tmp_path / "profile") as page:
        page.look("desktop", "light")
        page.open(f"http://127.0.0.1:{port}/")
        page.write(token_of(a))
        page.leave(lambda: page.press("Enter", 13, "\r"))
        page.events.clear()
        page.open(f"http://127.0.0.1:{port}/deployment")
        page.wait("the first news", "document.documentElement.dataset.news")
        page.wait("all four pools", "document.querySelectorAll('#pools tbody tr').length === 4")
        assert "held by pool a, here" in page.run("document.getElementById('store').innerText")
        a.must("config", "set", "SyncInterval", "00:00:30", "--pool", "c")
        page.wait("the new document", "document.getElementById('documents').innerText.includes('backup/c')")
        page.wait("every server having it", "document.querySelectorAll('#servers .sign.healthy').length === 4")
        page.wait("a healthy deployment", "document.body.dataset.level === 'healthy'")
        page.wait("all four pools still", "document.querySelectorAll('#pools tbody tr').length === 4")
        for name, size, scheme in (("deployment", "desktop", "light"), ("deployment-phone", "phone", "dark")):
            page.look(size, scheme)
            width = page.run("[document.documentElement.scrollWidth, window.innerWidth]")
            assert width[0] <= width[1], f"{name}: the page is wider than the window, {width}"
            page.picture(folder / f"{name}.png")
        pools["d"].share.rename(pools["d"].share.with_name("gone"))
        page.wait("d lagging behind", "document.getElementById('servers').innerText.includes('NOT up to date')")
        assert page.run("document.querySelector('#servers tbody tr').innerText").startswith("d/fe-d")
        assert page.run("document.body.dataset.level") != "healthy"
        assert page.complaints() == []
