"""The whole day with real servers and clients, step by step; each step asserts what a client sees.

Two sites serve a domain each and back each other up. One dies under traffic, with words that never left it; its people go on at the other,
the dead site returns, what it had is brought together, and everybody goes home. Then the same as planned, with clients online.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.prosody.conftest import Login
from tests.prosody.site import running_sites, wait_rest
from tests.prosody.story import Story


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """What the people of both domains have, made step by step, at a pair of its own."""
    with running_sites() as sites:
        yield Story(*sites)


@pytest.mark.timeout(300)
def test_a_site_dies_and_comes_back(story: Story, login: Login) -> None:
    """Steady state, a crash under traffic, takeover, life goes on, the return, the ledger, and the way home."""
    story.login = login
    story.move_in()
    story.look_around("a")
    wait_rest(story.a, story.b)
    story.die_under_traffic()
    story.take_over()
    story.look_around("b")
    story.live_on()
    story.come_back()
    story.bring_together()
    story.decide()
    story.go_home()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_site_is_vacated_and_moved_into_again(story: Story, login: Login) -> None:
    """Planned, with people online: their streams end with a defined error, and at the other site all is as it was."""
    story.login = login
    if not story.online:
        story.move_in()
    story.vacate("a", "b")
    story.vacate("b", "a")
