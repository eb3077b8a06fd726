"""Two sites with real servers, and the clients of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.prosody.client import Client, Network
from tests.prosody.site import Site, Sites, running_sites

pytest.register_assert_rewrite("tests.prosody.story")

Login = Callable[..., Client]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """The thread in which all clients live."""
    made = Network()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    """One pair for the tests of a module, after each of which both sites serve their own domain."""
    with running_sites() as made:
        yield made


@pytest.fixture
def login(network: Network) -> Iterator[Login]:
    """Logs somebody in at a site; whoever is left at the end is logged out."""
    made: list[Client] = []

    def enter(jid: str, site: Site, password: str = "", *, register: bool = False, resumable: bool = False) -> Client:
        made.append(Client(network, site.prosody.ports, jid, password, register=register, resumable=resumable))
        return made[-1]

    yield enter
    for client in made:
        if not client.stream.gone.done():
            client.do(client.stream.abort)
