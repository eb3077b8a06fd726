"""The people of two domains, and the steps of their worst day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from poolpair.lab.waiting import wait_for
from tests.prosody.client import Client, Refused, befriend
from tests.prosody.site import ASK_S, SEEN_S, Site
from tests.prosody.uploads import UploadWatch

if TYPE_CHECKING:
    from tests.prosody.conftest import Login

ALICE, AMY, DAN, BOB = "alice@a.example", "amy@a.example", "dan@a.example", "bob@b.example"
TEAM = "team@rooms.a.example"
AT_A, AT_B = "made-at-a@rooms.a.example", "made-at-b@rooms.a.example"
SHARE = "share.a.example"
PICTURE = bytes(range(256)) * 400


def refusal(login: Login, jid: str, site: Site, password: str = "") -> str:
    """Why somebody is not let in at a site."""
    with pytest.raises(Refused) as caught:
        login(jid, site, password)
    return str(caught.value)


@dataclass
class Story:
    """Two sites, who is online, and what everybody should see."""

    a: Site
    b: Site
    login: Any = None
    stranded: bytes = b""
    stranded_url: str = ""
    online: dict[str, Client] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    """What was said in the room."""
    chats: list[str] = field(default_factory=list)
    """What alice and bob said to each other."""
    returned: set[str] = field(default_factory=set)
    """What was said before the crash and came back with the dead site; it stands where each site took it in."""
    members: set[str] = field(default_factory=lambda: {BOB})
    friends: dict[str, tuple[str, str, tuple[str, ...]]] = field(default_factory=dict)
    """Alice's buddy list."""
    blocked: set[str] = field(default_factory=lambda: {"spam@b.example"})
    rooms: dict[str, str] = field(default_factory=lambda: {TEAM: "The team"})

    def site(self, name: str) -> Site:
        """A site by its name."""
        return self.a if name == "a" else self.b

    def enter(self, jid: str, name: str) -> Client:
        """Somebody logs in."""
        self.online[jid] = self.login(jid, self.site(name), self.passwords.get(jid, ""))
        return self.online[jid]

    # --- the steps

    def move_in(self) -> None:
        """Accounts are made in both domains; people become friends, meet in a room, upload files, write to who is away."""
        for jid, site in ((ALICE, self.a), (AMY, self.a), (DAN, self.a), (BOB, self.b)):
            self.online[jid] = self.login(jid, site, register=True)
        alice, amy, bob = (self.online[jid] for jid in (ALICE, AMY, BOB))
        befriend(alice, bob)
        befriend(alice, amy)
        alice.note(BOB, "Bob", "Work", "Friends")
        self.friends = {BOB: ("Bob", "both", ("Friends", "Work")), AMY: ("", "both", ())}
        alice.set_card("Alice Liddell")
        bob.set_card("Bob Cratchit")
        alice.block("spam@b.example")
        amy.change_password("another one")
        self.passwords[AMY] = "another one"
        alice.make_room(TEAM, "The team")
        alice.affiliate(TEAM, "member", BOB)
        alice.set_subject(TEAM, "what is to be done")
        bob.join(TEAM)
        self.talk(alice, bob, "one", "two", "three")
        self.upload_together(alice, 5)
        self.online.pop(DAN).bye()
        bob.say(DAN, "read this when you are back")

    def talk(self, alice: Client, bob: Client, *words: str) -> None:
        """Alice speaks in the room and to bob, and he answers."""
        for word in words:
            alice.say(TEAM, f"room {word}")
            alice.say(BOB, f"chat {word}")
            bob.wait_heard(f"room {word}", f"chat {word}")
            bob.say(ALICE, f"reply {word}")
            alice.wait_heard(f"reply {word}")
            self.history.append(f"room {word}")
            self.chats += [f"chat {word}", f"reply {word}"]

    def upload_together(self, alice: Client, pictures: int) -> None:
        """Files that are whole when they leave are there before the rows that describe them."""
        self.a.pool.stop()
        for number in range(pictures):
            self.upload(alice, f"picture-{number}.bin")
        with UploadWatch(self.b, SHARE) as watch:
            self.a.pool.start()
            wait_for("the uploads at b", lambda: len(watch.seen) == pictures, SEEN_S)
        assert not watch.early

    def upload(self, client: Client, name: str) -> None:
        """Somebody uploads a file."""
        content = name.encode() + PICTURE
        self.pictures[client.upload(name, content, SHARE)] = content

    def look_around(self, name: str) -> None:
        """Alice, amy and bob see everything that they had, wherever alice's domain is served now."""
        for jid in (ALICE, AMY):
            if jid in self.online and not self.online[jid].stream.gone.done():
                self.online.pop(jid).bye()
        alice, amy, bob = self.enter(ALICE, name), self.enter(AMY, name), self.online[BOB]
        assert alice.roster() == self.friends
        assert amy.subscription(ALICE) == "both"
        assert bob.subscription(ALICE) == "both"
        assert (alice.card(), alice.card(BOB), bob.card(ALICE)) == ("Alice Liddell", "Bob Cratchit", "Alice Liddell")
        assert alice.blocked() == self.blocked
        assert self.old(alice.archive(with_jid=BOB)) == self.chats
        assert alice.rooms("rooms.a.example") == self.rooms
        seen = alice.join(TEAM)
        assert (seen.subject, seen.affiliation) == ("what is to be done", "owner")
        assert self.old(seen.history) == self.history
        assert alice.affiliated(TEAM) == self.members
        assert self.old(alice.archive(TEAM)) == self.history
        assert self.missing(alice) == set()
        for url, content in self.pictures.items():
            assert alice.fetch(url) == (200, content)
        assert refusal(self.login, AMY, self.site(name), f"pw-{AMY}") == "failed_all_auth"
        other = self.site("b" if name == "a" else "a")
        if other.prosody.process is not None:
            assert refusal(self.login, ALICE, other) == "host-unknown"

    def missing(self, alice: Client) -> set[str]:
        """What should have come back and is in no archive of alice's."""
        return self.returned - {*alice.archive(TEAM), *alice.archive(with_jid=BOB), *alice.archive(with_jid=AMY)}

    def old(self, said: Iterable[str]) -> list[str]:
        """Without what came back."""
        return [body for body in said if body not in self.returned and not body.startswith("traffic")]

    def die_under_traffic(self) -> None:
        """The line of a is cut, some things happen there that nobody else hears of, and then the whole site loses its power."""
        alice, amy = self.online[ALICE], self.online[AMY]
        self.a.pool.lose_mount()
        alice.note("carol@b.example", "Carol")
        amy.note("eve@b.example", "Eve")
        amy.say(DAN, "stranded for dan")
        amy.say(ALICE, "stranded for alice")
        alice.wait_heard("stranded for alice")
        alice.make_room(AT_A, "Made at a")
        alice.affiliate(TEAM, "member", "carol@b.example")
        alice.say(TEAM, "stranded in the room")
        alice.wait_heard("stranded in the room")
        self.stranded = b"stranded" + PICTURE
        self.stranded_url = alice.upload("stranded.bin", self.stranded, SHARE)
        bob = self.online[BOB]
        alice.pour(BOB, "traffic", 1000)
        bob.wait_heard("traffic 20")
        self.a.kill()
        assert alice.wait_gone() == "disconnected"
        assert amy.wait_gone() == "disconnected"
        assert "traffic 999" not in bob.bodies()

    def take_over(self) -> None:
        """The operator at b orders a disaster failover. What never left a is not there."""
        with pytest.raises(Refused, match="connection_failed"):
            self.login(ALICE, self.a)
        self.b.pool.must("failover", "a", "--disaster", "--yes")
        self.b.wait_serving("a", "b")
        dan = self.enter(DAN, "b")
        dan.wait_heard("read this when you are back")
        assert dan.bodies() == ["read this when you are back"]
        dan.bye()

    def live_on(self) -> None:
        """People go on at the other site."""
        alice, amy, bob = (self.online[jid] for jid in (ALICE, AMY, BOB))
        assert alice.fetch(self.stranded_url)[0] == 404
        bob.join(TEAM)
        alice.make_room(AT_B, "Made at b")
        self.rooms[AT_B] = "Made at b"
        self.talk(alice, bob, "four", "five")
        alice.block("troll@b.example")
        self.blocked.add("troll@b.example")
        amy.note("zoe@b.example", "Zoe")
        self.upload(alice, "picture-at-b.bin")

    def come_back(self) -> None:
        """The power of a is back. Its Prosody serves nobody, before poolpair's service runs and after it."""
        self.a.cluster.start()
        self.a.prosody.start()
        assert refusal(self.login, ALICE, self.a) == "host-unknown"
        self.a.pool.mount_again()
        self.a.pool.start()

    def bring_together(self) -> None:
        """What a had is merged at b. Alice's stream ends for it, since her server lets go of what it remembers; then she sees both."""
        alice = self.online[ALICE]
        assert alice.wait_gone() == "host-gone"
        wait_for("what a had being in b", self._is_together, SEEN_S, poll_s=ASK_S)
        self.b.wait_serving("a", "b")
        alice = self.enter(ALICE, "b")
        self.friends["carol@b.example"] = ("Carol", "none", ())
        assert alice.roster() == self.friends
        assert alice.blocked() == self.blocked
        self.rooms[AT_A] = "Made at a"
        assert alice.rooms("rooms.a.example") == self.rooms
        heard = {body for body in self.online[BOB].bodies() if body.startswith("traffic")}
        self.returned = {"stranded for alice", "stranded in the room", *heard}
        assert self.missing(alice) == set()
        assert alice.fetch(self.stranded_url) == (200, self.stranded)
        self.pictures[self.stranded_url] = self.stranded
        dan = self.enter(DAN, "b")
        dan.wait_heard("stranded for dan")
        dan.bye()
        assert refusal(self.login, ALICE, self.a) == "host-unknown"

    def _is_together(self) -> bool:
        return not any(home["recovering"] for pool in (self.a.pool, self.b.pool) for home in pool.status()["homes"])

    def decide(self) -> None:
        """Amy's buddy list was changed at both sites: the operator decides, and she sees what he chose. The room was changed at a alone."""
        alice, amy = self.online[ALICE], self.enter(AMY, "b")
        assert set(amy.roster()) == {ALICE, "zoe@b.example"}
        alice.join(TEAM)
        self.members.add("carol@b.example")
        assert alice.affiliated(TEAM) == self.members
        listed = self.b.pool.must("ledger", "list").out
        assert [line.split("\t")[3] for line in listed.splitlines()] == ["a.example, roster, amy"]
        assert self.b.pool.must("ledger", "resolve", "--all", "--theirs").out == "1 decided\n"
        assert (alice.wait_gone(), amy.wait_gone()) == ("host-gone", "host-gone")
        self.b.wait_serving("a", "b")
        amy = self.enter(AMY, "b")
        assert set(amy.roster()) == {ALICE, "eve@b.example"}

    def go_home(self) -> None:
        """The users are handed back while alice and amy are online at b."""
        alice, amy = self.enter(ALICE, "b"), self.online[AMY]
        self.a.pool.must("failback", "a", "--yes")
        assert (alice.wait_gone(), amy.wait_gone()) == ("host-gone", "host-gone")
        self.a.wait_serving("a")
        self.b.wait_serving("b")
        self.look_around("a")
        alice, bob = self.online[ALICE], self.online[BOB]
        assert "eve@b.example" in self.online[AMY].roster()
        bob.join(TEAM)
        self.talk(alice, bob, "six")

    def vacate(self, here: str, there: str) -> None:
        """A planned move of alice's domain with clients online; bob, of the other domain, stays where he is and in the room."""
        alice, bob = self.enter(ALICE, here), self.enter(BOB, "b")
        alice.join(TEAM)
        bob.join(TEAM)
        verb = "failover" if here == "a" else "failback"
        self.site(here).pool.must(verb, "a", "--yes")
        assert alice.wait_gone() == "host-gone"
        self.site(there).wait_serving(*("a",) if there == "a" else ("a", "b"))
        self.look_around(there)
        self.talk(self.online[ALICE], bob, f"after {verb}")
