"""The page in a real browser: what an operator sees when all is well, when the partner is down, while a failover runs, and at the ledger.

The pictures of the documentation are made here: POOLPAIR_REGOLD=1 puts them into docs/images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolpair.lab.pool import wait_for
from tests.page.chromium import Page, chromium
from tests.page.ground import Ground, ground, write_a_day

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LOOKS = {
    "healthy": ("desktop", "light"),
    "healthy-phone": ("phone", "dark"),
    "partner-down": ("desktop", "dark"),
    "partner-down-phone": ("phone", "light"),
    "order": ("desktop", "light"),
    "failover": ("desktop", "light"),
    "failover-phone": ("phone", "dark"),
    "ledger": ("desktop", "light"),
    "ledger-phone": ("phone", "light"),
}
FIRST = "document.querySelector('h1').innerText"
EDIT = "UPDATE prosody SET value = ? WHERE host = 'b.example' AND store = 'roster' AND \"user\" IN ('babet', 'child')"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One pair for the walk through the day."""
    with ground(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.fixture(scope="module")
def page(pair: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that is logged in."""
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.look("desktop", "light")
        opened.open(f"{pair.url}/")
        opened.write("no such token")
        opened.leave(lambda: opened.press("Enter", 13, "\r"))
        assert "not known" in opened.run("document.body.innerText")
        opened.run("document.getElementById('token').focus()")
        opened.write(pair.operator)
        opened.leave(lambda: opened.press("Enter", 13, "\r"))
        opened.events.clear()
        yield opened


def shot(page: Page, name: str, tmp_path: Path) -> None:
    """Take a picture of what is seen now."""
    page.look(*LOOKS[name])
    width = page.run("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"{name}: the page is wider than the window, {width}"
    page.picture((IMAGES if os.environ.get("POOLPAIR_REGOLD") else tmp_path) / f"{name}.png")


@pytest.mark.timeout(300)
def test_a_healthy_pair_is_seen_at_once(pair: Ground, page: Page, tmp_path: Path) -> None:
    """The first heading says that both sites could take over; every level has a sign with a text; nothing comes from elsewhere."""
    write_a_day(pair.a)
    page.open(f"{pair.url}/")
    page.wait("the first news", "document.documentElement.dataset.news")
    page.wait("the day's curves", "document.querySelectorAll('.curve').length === 3")
    assert "at most 4" in page.run("document.querySelector('.chart').innerText")
    assert page.run(FIRST) == "Both sites could take over."
    assert page.run("document.title") == "healthy: pool a - poolpair"
    unsaid = "[...document.querySelectorAll('svg.sign')].filter((each) => !each.getAttribute('aria-label')).length"
    assert page.run(unsaid) == 0
    stops = "[...document.querySelectorAll('.lane.out')].map((each) => each.querySelectorAll('.stop').length)"
    assert page.run(stops) == [5, 5]
    shot(page, "healthy", tmp_path)
    shot(page, "healthy-phone", tmp_path)
    assert page.complaints() == []
    assert {url.split("?")[0] for url in page.requested()} <= {
        f"{pair.url}{path}" for path in ("/", "/static/page.css", "/static/page.js", "/static/mark.svg", "/live")
    }


@pytest.mark.timeout(300)
def test_the_whole_page_is_used_without_a_mouse(page: Page) -> None:
    """Tab goes through skip link, pages and orders, each is seen to have the focus, and Enter follows it."""
    page.look("desktop", "light")
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    seen: list[str] = []
    for _ in range(12):
        page.press("Tab", 9)
        seen.append(page.run("document.activeElement.innerText.trim()"))
        outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{seen[-1]} does not show that it has the focus"
        if seen[-1] == "Failover":
            break
    assert seen[0] == "To the answer"
    assert {"Overview", "Ledger", "Log out"} <= set(seen)
    page.leave(lambda: page.press("Enter", 13, "\r"))
    assert page.run(FIRST).startswith("Failover")
    assert page.run("document.querySelector('.whatif h2').innerText") == "What would happen"


@pytest.mark.timeout(300)
def test_a_failover_is_ordered_and_watched(pair: Ground, page: Page, tmp_path: Path) -> None:
    """What-if first; a name that is not repeated changes nothing; then each step is shown until the partner serves, and the way home."""
    page.look("desktop", "light")
    page.open(f"{pair.url}/order/failover?pool=a")
    assert "nothing is lost" in page.run("document.querySelector('.whatif').innerText")
    shot(page, "order", tmp_path)
    send = "document.querySelector('.order form button').form.requestSubmit()"
    page.run(
        "document.getElementById('confirm').removeAttribute('pattern'); document.getElementById('confirm').value = 'b'"
    )
    page.leave(lambda: page.run(send))
    assert "P124" in page.run("document.querySelector('.problem').innerText")
    assert pair.a.status()["homes"][0]["plan"] == ""
    pair.hold.touch()
    page.run("document.getElementById('confirm').value = 'a'")
    page.leave(lambda: page.run(send))
    page.wait("the plan at its hook", "document.querySelector('.plan .now')?.innerText.includes('before-fence')")
    shot(page, "failover", tmp_path)
    shot(page, "failover-phone", tmp_path)
    pair.hold.unlink()
    served = "document.querySelectorAll('table.homes tbody tr')[0].innerText.includes('away from home')"
    page.look("desktop", "light")
    page.wait("b serving the users of a", served)
    assert "failover a" in page.run("document.getElementById('past').innerText")
    assert pair.a.status()["homes"][0]["served_by"] == "b"
    page.open(f"{pair.url}/order/failback?pool=a")
    page.run("document.getElementById('confirm').value = 'a'")
    page.leave(lambda: page.run(send))
    page.wait(
        "the users of a being home",
        "document.querySelectorAll('table.homes tbody tr')[0].innerText.includes('at home')",
    )
    page.wait("the history of both", "document.querySelectorAll('#d-moves li').length >= 4")


@pytest.mark.timeout(300)
def test_a_dead_partner_is_seen_and_taken_over(pair: Ground, page: Page, tmp_path: Path) -> None:
    """The page turns red by itself, says who could still take over and what that costs; then the ledger shows both versions."""
    page.open(f"{pair.url}/")
    page.look("desktop", "dark")
    pair.b.kill()
    pair.b.change((EDIT, ("written at b",)))
    page.wait("the silence being seen", "document.body.dataset.level === 'broken'")
    words = page.run("document.getElementById('verdict').innerText")
    assert "b is not heard. a could take over from it." in words
    assert "would be missing: what b accepted in the last" in words
    assert "P402" in page.run("document.getElementById('attention').innerText")
    shot(page, "partner-down", tmp_path)
    shot(page, "partner-down-phone", tmp_path)
    page.open(f"{pair.url}/order/failover?pool=b&disaster=yes")
    assert "here is everything up to package" in page.run("document.querySelector('.whatif').innerText")
    page.run("document.getElementById('confirm').value = 'b'")
    page.leave(lambda: page.run("document.querySelector('.order form button').form.requestSubmit()"))
    page.wait("a serving the users of b", "document.querySelector('.pool.here').innerText.includes('users of a and b')")
    pair.a.change((EDIT, ("written at a",)))
    pair.b.start()
    wait_for("entries in the ledger", lambda: pair.a.status()["ledger_open"], 60)
    page.open(f"{pair.url}/ledger")
    assert "written at b" in page.run("document.querySelector('.version').innerText")
    assert "written at a" in page.run("document.querySelectorAll('.version')[1].innerText")
    shot(page, "ledger", tmp_path)
    shot(page, "ledger-phone", tmp_path)
    before = pair.a.status()["ledger_open"]
    page.leave(lambda: page.run("document.querySelectorAll('.version .button')[1].click()"))
    page.run("document.getElementById('confirm').value = 'a'")
    page.leave(lambda: page.run("document.querySelector('.order form button').form.requestSubmit()"))
    assert page.run("document.querySelector('.said').innerText") == "It is decided."
    assert pair.a.status()["ledger_open"] == before - 1
    assert page.complaints() == []
