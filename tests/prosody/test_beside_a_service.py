"""A Prosody beside poolpair's service: what it remembers beside its database, and what becomes of it when one of the two is started anew.

Each test of a memory changes rows underneath a host that is active, as an apply there would, and sees that clients are shown what was;
then the host changes hands as it does between two reigns, and they see what is. What Prosody remembered is never written back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count

import pytest

from poolpair.lab.waiting import NotSeen, wait_for
from tests.prosody.client import Client, Refused, befriend
from tests.prosody.conftest import Login
from tests.prosody.site import SEEN_S, Site, Sites, wait_rest

BOB = "bob@b.example"
_EPOCH, _PEOPLE = count(100), count(1)
_ROSTER = "SELECT value FROM prosody WHERE host = 'a.example' AND \"user\" = %s AND store = 'roster' AND key = ''"
_PUT = 'INSERT INTO prosody (host, "user", store, key, type, value) VALUES (%s, %s, %s, %s, %s, %s)'
_TAKE = 'DELETE FROM prosody WHERE host = %s AND "user" = %s AND store = %s AND key = %s'


@pytest.fixture(scope="module")
def a(sites: Sites) -> Site:
    """The site where it is looked at."""
    return sites[0]


@pytest.fixture
def alice(a: Site, login: Login, request: pytest.FixtureRequest) -> Client:
    """Somebody who is online at a, another one in each test."""
    name = str(request.node.originalname).removeprefix("test_").replace("_", "-")
    return login(f"{name}-{next(_PEOPLE)}@a.example", a, register=True)


def hook(site: Site, verb: str, epoch: int) -> str:
    """Run the shipped hook for the domain of a by hand."""
    return site.pool.must("prosody", verb, "a", "--epoch", str(epoch)).out


def change_hands(site: Site, *, lets_go: bool = True) -> None:
    """The domain was served elsewhere and is served here again. Without `lets_go` its host was never deactivated meanwhile."""
    if lets_go:
        hook(site, "deactivate", next(_EPOCH))
    hook(site, "activate", next(_EPOCH))


def put(site: Site, user: str, store: str, key: str, value: object, host: str = "a.example") -> None:
    """A row arrives underneath the server."""
    text = value if isinstance(value, str) else json.dumps(value)
    kind = "string" if isinstance(value, str) else "json"
    with site.cluster.connect("prosody", autocommit=False) as connection:
        connection.execute(_TAKE, (host, user, store, key))
        connection.execute(_PUT, (host, user, store, key, kind, text))


def user_of(client: Client) -> str:
    """The name before the @."""
    return client.jid.partition("@")[0]


@pytest.fixture(params=[True, False], ids=["deactivated", "left-active"])
def lets_go(request: pytest.FixtureRequest) -> bool:
    """Whether the host was deactivated before its rows were written, as it should be, or stayed active because a hook had failed."""
    return bool(request.param)


BUDDY = {"subscription": "none", "name": "Late", "groups": {}}
LATE = "late@b.example"


def test_a_buddy_list_of_somebody_online(a: Site, alice: Client, login: Login) -> None:
    """It is shared by all devices of the account until the last one has gone."""
    put(a, user_of(alice), "roster", LATE, BUDDY)
    assert LATE not in alice.roster()
    change_hands(a)
    assert alice.wait_gone() == "host-gone"
    assert LATE in login(alice.jid, a).roster()


def test_a_buddy_list_that_a_stanza_loaded(a: Site, alice: Client, login: Login, lets_go: bool) -> None:
    """Somebody is offline, and a request to see his presence has the server read his list and keep it for good."""
    alice.bye()
    other = login(f"asks-{alice.jid}", a, register=True)
    other.subscribe(alice.jid)
    wait_for("the request being kept", lambda: _pending(a, alice), SEEN_S)
    put(a, user_of(alice), "roster", LATE, BUDDY)
    again = login(alice.jid, a)
    assert LATE not in again.roster()
    again.bye()
    change_hands(a, lets_go=lets_go)
    again = login(alice.jid, a)
    assert LATE in again.roster()
    again.note(BOB, "Bob")
    assert set(again.roster()) >= {LATE, BOB}


def _pending(site: Site, client: Client) -> bool:
    rows = site.rows(_ROSTER, user_of(client))
    return bool(rows) and "asks-" in rows[0][0]


def test_a_version_of_a_buddy_list_that_the_client_knows(a: Site, alice: Client, login: Login) -> None:
    """Two sites that went on from one version mean different things by the next: a client that knows one is told all at the other."""
    alice.note(BOB, "Bob")
    version = alice.roster_version()
    for plainly in (True, False):
        hook(a, "deactivate", next(_EPOCH))
        put(a, user_of(alice), "roster", f"{plainly}@b.example".lower(), BUDDY)
        if plainly:
            assert a.prosody.shell("host", "activate", "a.example").returncode == 0
        else:
            hook(a, "activate", next(_EPOCH))
        again = login(alice.jid, a)
        assert again.roster_version() == version
        assert again.knows_roster(version) is plainly
        assert f"{plainly}@b.example".lower() in again.roster()


def test_a_blocklist(a: Site, alice: Client, login: Login, lets_go: bool) -> None:
    """It is kept through logging out and in, and one more entry writes all of it back."""
    alice.block("first@b.example")
    put(a, user_of(alice), "blocklist", LATE, {"since": 1})
    alice.bye()
    again = login(alice.jid, a)
    assert again.blocked() == {"first@b.example"}
    change_hands(a, lets_go=lets_go)
    again = login(alice.jid, a)
    assert again.blocked() == {"first@b.example", LATE}
    again.block("second@b.example")
    assert again.blocked() == {"first@b.example", LATE, "second@b.example"}
    change_hands(a, lets_go=lets_go)
    assert login(alice.jid, a).blocked() == {"first@b.example", LATE, "second@b.example"}


ROOMS = "rooms.a.example"


def test_a_room_that_somebody_was_in(a: Site, alice: Client, login: Login, lets_go: bool) -> None:
    """It stays as it was when everybody has left, too, and is saved when its host is deactivated; not if that is between two reigns."""
    room = f"{user_of(alice)}-{'well' if lets_go else 'badly'}@{ROOMS}"
    node = room.partition("@")[0]
    alice.make_room(room, "A room")
    alice.leave(room)
    if lets_go:
        hook(a, "deactivate", next(_EPOCH))
    put(a, node, "config", LATE, "member", ROOMS)
    if not lets_go:
        assert alice.affiliated(room) == set()
    change_hands(a, lets_go=lets_go)
    assert alice.wait_gone() == "host-gone"
    again = login(alice.jid, a)
    assert again.affiliated(room) == {LATE}
    again.affiliate(room, "member", BOB)
    assert again.affiliated(room) == {LATE, BOB}


def test_a_room_goes_on_for_those_of_other_domains(sites: Sites, alice: Client, login: Login) -> None:
    """Who was in it when its host went away is in it when it is back, there or elsewhere; who was logged out is not."""
    a, b = sites
    room = f"{user_of(alice)}@{ROOMS}"
    bob = login(f"guest-of-{user_of(alice)}@b.example", b, register=True)
    alice.make_room(room, "A room")
    alice.affiliate(room, "member", bob.jid)
    bob.join(room)
    change_hands(a)
    again = login(alice.jid, a)
    assert again.join(room).occupants == tuple(sorted({user_of(alice), user_of(bob)}))
    again.say(room, "still here?")
    bob.wait_heard("still here?")


def test_a_card(a: Site, alice: Client, login: Login) -> None:
    """It is read from the database at every question."""
    alice.set_card("Before")
    with a.cluster.connect("prosody") as connection:
        connection.execute(
            "UPDATE prosodyarchive SET value = replace(value, 'Before', 'After') WHERE \"user\" = %s", (user_of(alice),)
        )
    assert alice.card() == "After"


def test_a_stream_that_could_be_resumed(a: Site, alice: Client, login: Login) -> None:
    """Its network failed, and the server keeps the stream for ten minutes, buddy list and all. It does not survive its host."""
    alice.bye()
    phone = login(alice.jid, a, resumable=True)
    phone.ping()
    phone.cut()
    put(a, user_of(alice), "roster", LATE, BUDDY)
    change_hands(a)
    again = login(alice.jid, a)
    assert LATE in again.roster()


def test_a_file_that_was_asked_for(a: Site, alice: Client) -> None:
    """Whether a slot is known is kept, its absence is not."""
    url = alice.upload("one.bin", b"one", "share.a.example")
    assert alice.fetch(url) == (200, b"one")
    slot = url.rsplit("/", 2)[1]
    with a.cluster.connect("prosody") as connection:
        connection.execute("UPDATE prosodyarchive SET key = 'another' WHERE key = %s", (slot,))
    assert alice.fetch(url) == (200, b"one")
    change_hands(a)
    assert alice.fetch(url)[0] == 404


def _keeps(work: Callable[[], object], client: Client) -> bool:
    work()
    client.ping()
    return not client.stream.gone.done()


def test_the_hook_interrupts_nobody_without_need(a: Site, alice: Client) -> None:
    """Repeated in the same reign, it leaves who is online alone."""
    epoch = next(_EPOCH)
    hook(a, "activate", epoch)
    assert alice.wait_gone() == "host-gone"
    again = Client(alice.network, alice.ports, alice.jid)
    assert _keeps(lambda: hook(a, "activate", epoch), again)
    hook(a, "activate", epoch + 1)
    assert again.wait_gone() == "host-gone"


def test_friends_in_both_domains_stay_friends(sites: Sites, alice: Client, login: Login) -> None:
    """After its host changed hands the server finds the other one again, and is found by it."""
    a, b = sites
    bob = login(f"{user_of(alice)}@b.example", b, register=True)
    befriend(alice, bob)
    change_hands(a)
    again = login(alice.jid, a)
    again.say(bob.jid, "there")
    bob.wait_heard("there")
    bob.say(alice.jid, "and back")
    again.wait_heard("and back")


def test_a_server_that_restarts_serves_again_by_itself(sites: Sites, login: Login) -> None:
    """It starts with every host closed, and the service that runs beside it opens those of its pool at once."""
    a, _ = sites
    login("carl@a.example", a, register=True)
    for end in (a.prosody.kill, a.prosody.stop):
        end()
        a.prosody.start()
        a.wait_serving("a")
        login("carl@a.example", a).ping()
    wait_for("a being well again", lambda: a.pool.run("status").exit_status == 0, SEEN_S)


def test_a_service_that_restarts_interrupts_nobody(sites: Sites, login: Login) -> None:
    """Killed or stopped, the next one finds its hosts open, and leaves the streams alone."""
    a, b = sites
    carl = login("dora@a.example", a, register=True)
    for end in (a.pool.kill, a.pool.stop):
        end()
        a.pool.start()
        wait_rest(a, b)
        a.wait_serving("a")
        carl.ping()
        assert not carl.stream.gone.done()


def test_a_server_without_a_service_serves_nobody(sites: Sites, login: Login) -> None:
    """So a site that comes up in parts is no second server."""
    a, _ = sites
    a.pool.kill()
    for end in (a.prosody.kill, a.prosody.stop):
        end()
        assert "nothing is served" in hook(a, "deactivate", 0)
        with pytest.raises(NotSeen, match="nobody answers"):
            hook(a, "activate", 0)
        a.prosody.start()
    assert a.prosody.active() == set()
    with pytest.raises(Refused, match="host-unknown"):
        login("carl@a.example", a)
    a.pool.start()
    a.wait_serving("a")
