"""A real XMPP client, slixmpp, as a test drives it: each act waits, with a bound, until it is done or refused."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import slixmpp
from slixmpp.exceptions import IqError

from poolpair.lab.waiting import wait_for
from tests.prosody.server import Ports

T = TypeVar("T")
WAIT_S = 20.0
UPLOAD = "urn:xmpp:http:upload:0"
BYTES = "application/octet-stream"
PLUGINS = ("0004", "0030", "0045", "0054", "0060", "0066", "0077", "0191", "0198", "0199", "0313")


class Network:
    """The thread in which all clients live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="clients", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], wait_s: float = WAIT_S) -> T:
        """Do something there and wait for its end."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, wait_s), self.loop).result(wait_s + 5)

    def close(self) -> None:
        """Stop the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self.loop).result(WAIT_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message that arrived."""

    sender: str
    kind: str
    body: str


@dataclass(frozen=True, slots=True)
class Joined:
    """What a room showed to somebody who came in."""

    subject: str
    occupants: tuple[str, ...]
    history: tuple[str, ...]
    affiliation: str


class _Stream(slixmpp.ClientXMPP):
    """One connection. `outcome` becomes "" when somebody is in, or why it does not; `gone` why it ended."""

    def __init__(self, jid: str, password: str, *, resumable: bool) -> None:
        super().__init__(jid, password)
        self.enable_plaintext, self.enable_starttls, self.enable_direct_tls = True, False, False
        for plugin in PLUGINS:
            if plugin != "0198" or resumable:
                self.register_plugin(f"xep_{plugin}")
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.plugin["feature_mechanisms"].unencrypted_scram = True
        self.outcome: asyncio.Future[str] = self.loop.create_future()
        self.gone: asyncio.Future[str] = self.loop.create_future()
        self.error = ""
        self.heard: list[Heard] = []
        self.left: list[str] = []
        self.add_event_handler("session_start", self._on_start)
        for event in ("failed_all_auth", "connection_failed"):
            self.add_event_handler(event, partial(self._settle, event))
        self.add_event_handler("stream_error", self._on_error)
        self.add_event_handler("disconnected", self._on_gone)
        self.add_event_handler("message", self._on_message)
        self.add_event_handler("presence_unavailable", lambda stanza: self.left.append(str(stanza["from"])))

    async def _on_start(self, _event: object) -> None:
        await self.get_roster()
        self.send_presence()
        self._settle("")

    def _settle(self, outcome: str, _event: object = None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def _on_error(self, stanza: Any) -> None:  # noqa: ANN401 - slixmpp's stanzas have no types
        self.error = str(stanza["condition"])
        self._settle(self.error)

    def _on_gone(self, _event: object) -> None:
        self._settle(self.error or "disconnected")
        if not self.gone.done():
            self.gone.set_result(self.error or "disconnected")

    def _on_message(self, stanza: Any) -> None:  # noqa: ANN401 - the same
        if stanza["body"]:
            self.heard.append(Heard(str(stanza["from"]), str(stanza["type"]), str(stanza["body"])))


class Refused(Exception):
    """The server would not let somebody in; the text is the condition."""


class Client:
    """A person at a device, logged in."""

    def __init__(
        self,
        network: Network,
        ports: Ports,
        jid: str,
        password: str = "",
        *,
        register: bool = False,
        resumable: bool = False,
    ) -> None:
        self.network, self.ports, self.jid = network, ports, jid
        self.password = password or f"pw-{jid}"
        self.stream: _Stream = network.run(self._open(register=register, resumable=resumable))

    async def _open(self, *, register: bool, resumable: bool) -> _Stream:
        stream = _Stream(f"{self.jid}/desk", self.password, resumable=resumable)
        if register:
            stream.plugin["xep_0077"].force_registration = True
            stream.add_event_handler("register", partial(self._register, stream))
        stream.connect("127.0.0.1", self.ports.clients)
        outcome = await stream.outcome
        if outcome:
            stream.abort()
            raise Refused(outcome)
        return stream

    async def _register(self, stream: _Stream, _event: object) -> None:
        request = stream.Iq()
        request["type"] = "set"
        request["register"]["username"] = stream.boundjid.user
        request["register"]["password"] = stream.password
        await _sent(request)

    def do(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - slixmpp's stanzas have no types
        """Begin something in the clients' thread, and wait for its answer if it has one."""

        async def work() -> Any:  # noqa: ANN401 - the same
            begun = act()
            return await begun if asyncio.isfuture(begun) or asyncio.iscoroutine(begun) else begun

        return self.network.run(work())

    def refusal(self, act: Callable[[], Any]) -> str:
        """The condition with which the server refuses something; empty if it does not."""
        try:
            self.do(act)
        except IqError as error:
            return str(error.iq["error"]["condition"])
        return ""

    def plugin(self, number: str) -> Any:  # noqa: ANN401 - the same
        """One of slixmpp's plugins."""
        plugins: Any = self.stream.plugin
        return plugins[f"xep_{number}"]

    # --- the stream

    def bye(self) -> None:
        """Log out, and wait until the stream is closed."""
        self.do(self.stream.disconnect)
        self.wait_gone()

    def cut(self) -> None:
        """The network fails: the connection ends without a word."""
        self.do(self.stream.abort)
        self.wait_gone()

    def wait_gone(self) -> str:
        """Wait for the end of the stream; gives the error with which the server ended it, if it was one."""

        async def gone() -> str:
            return await self.stream.gone

        return self.network.run(gone())

    def ping(self) -> None:
        """Be answered by the own server: whatever was sent before has been handled."""
        self.do(lambda: self.plugin("0199").send_ping(slixmpp.JID(self.jid.partition("@")[2]), timeout=WAIT_S))

    # --- people

    def roster(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """What the server says of the buddy list now: name, subscription, groups."""
        answer = self.do(self._ask_roster)
        items = answer["roster"]["items"]
        return {
            str(jid): (str(item["name"]), str(item["subscription"]), tuple(sorted(item["groups"])))
            for jid, item in items.items()
        }

    def _ask_roster(self) -> Any:  # noqa: ANN401 - the same
        request = self.stream.Iq()
        request["type"] = "get"
        request.enable("roster")
        return _sent(request)

    def knows_roster(self, version: str) -> bool:
        """Whether the server says that the buddy list is still as it was in a version."""

        def ask() -> Any:  # noqa: ANN401 - the same
            request = self.stream.Iq()
            request["type"] = "get"
            request["roster"]["ver"] = version
            return _sent(request)

        return self.do(ask).xml.find("{jabber:iq:roster}query") is None

    def roster_version(self) -> str:
        """The version of the buddy list."""
        return str(self.do(self._ask_roster)["roster"]["ver"])

    def note(self, jid: str, name: str, *groups: str) -> None:
        """Put somebody on the buddy list, or change what is said of him there."""
        self.do(lambda: self.stream.update_roster(slixmpp.JID(jid), name=name, groups=list(groups)))

    def forget(self, jid: str) -> None:
        """Take somebody off the buddy list."""
        self.do(lambda: self.stream.update_roster(slixmpp.JID(jid), subscription="remove"))

    def subscribe(self, jid: str) -> None:
        """Ask to see somebody's presence."""
        self.do(lambda: self.stream.send_presence_subscription(slixmpp.JID(jid)))

    def subscription(self, jid: str) -> str:
        """What stands between this person and another."""
        return self.roster().get(jid, ("", "none", ()))[1]

    def card(self, jid: str = "") -> str:
        """The full name on somebody's vCard."""
        answer = self.do(
            lambda: self.plugin("0054").get_vcard(jid=slixmpp.JID(jid or self.jid), local=False, cached=False)
        )
        return str(answer["vcard_temp"]["FN"])

    def set_card(self, name: str) -> None:
        """Publish a vCard."""

        def publish() -> Any:  # noqa: ANN401 - the same
            card = self.plugin("0054").make_vcard()
            card["FN"] = name
            return self.plugin("0054").publish_vcard(card)

        self.do(publish)

    def blocked(self) -> set[str]:
        """Whom this person has blocked, as the server says."""
        answer = self.do(self.plugin("0191").get_blocked)
        return {str(item["jid"]) for item in answer["blocklist"]}

    def block(self, jid: str) -> None:
        """Block somebody."""
        self.do(lambda: self.plugin("0191").block({slixmpp.JID(jid)}))

    def change_password(self, password: str) -> None:
        """Choose another password."""
        self.do(
            lambda: self.plugin("0077").change_password(
                password, jid=slixmpp.JID(self.jid.partition("@")[2]), ifrom=self.stream.boundjid
            )
        )
        self.password = password

    # --- messages

    def say(self, jid: str, body: str) -> None:
        """Send a message to somebody, or to a room."""
        to = slixmpp.JID(jid)
        if to.domain.startswith("rooms."):
            self.do(lambda: self.stream.send_message(to, body, mtype="groupchat"))
        else:
            self.do(lambda: self.stream.send_message(to, body, mtype="chat"))

    def pour(self, jid: str, word: str, number: int) -> None:
        """Send many messages and wait for none."""

        def send() -> None:
            for each in range(number):
                self.stream.send_message(slixmpp.JID(jid), f"{word} {each}")

        self.network.loop.call_soon_threadsafe(send)

    def bodies(self) -> list[str]:
        """Everything that was heard since the login, in its order."""
        return [heard.body for heard in tuple(self.stream.heard)]

    def wait_heard(self, *bodies: str) -> None:
        """Wait until these were heard."""
        wait_for(f"{self.jid} hearing {bodies}, not {self.bodies()}", lambda: set(bodies) <= set(self.bodies()), WAIT_S)

    def archive(self, room: str = "", with_jid: str = "") -> list[str]:
        """The bodies that the archive keeps for this person, or for a room, oldest first."""

        async def read() -> list[str]:
            query = self.plugin("0313").iterate(
                jid=slixmpp.JID(room) if room else None,
                with_jid=slixmpp.JID(with_jid) if with_jid else None,
                rsm={"max": 50},
            )
            return [str(found["mam_result"]["forwarded"]["stanza"]["body"]) async for found in query]

        return [body for body in self.network.run(read()) if body]

    # --- rooms

    def join(self, room: str, history: int = 20) -> Joined:
        """Enter a room under the own name."""
        nick = self.jid.partition("@")[0]
        shown, subject, occupants, said = self.do(
            lambda: self.plugin("0045").join_muc_wait(slixmpp.JID(room), nick, maxstanzas=history, timeout=WAIT_S)
        )
        return Joined(
            subject=str(subject["subject"]) if subject is not None else "",
            occupants=tuple(sorted({str(each["muc"]["nick"]) for each in occupants} | {nick})),
            history=tuple(str(message["body"]) for message in said),
            affiliation=str(shown["muc"]["affiliation"]),
        )

    def leave(self, room: str) -> None:
        """Leave a room."""
        self.do(lambda: self.plugin("0045").leave_muc(slixmpp.JID(room), self.jid.partition("@")[0]))

    def make_room(self, room: str, name: str) -> None:
        """Enter a new room and make it one that stays."""
        self.join(room)
        muc, jid = self.plugin("0045"), slixmpp.JID(room)
        form = self.do(lambda: muc.get_room_config(jid))
        form["type"] = "submit"
        form.set_values(
            {
                "muc#roomconfig_persistentroom": True,
                "muc#roomconfig_roomname": name,
                "muc#roomconfig_publicroom": True,
                "muc#roomconfig_membersonly": True,
            }
        )
        self.do(lambda: muc.set_room_config(jid, form))

    def set_subject(self, room: str, subject: str) -> None:
        """Say what a room is about."""
        self.do(lambda: self.plugin("0045").set_subject(slixmpp.JID(room), subject))

    def affiliate(self, room: str, affiliation: Any, jid: str) -> None:  # noqa: ANN401 - a literal of slixmpp's
        """Give somebody a standing in a room."""
        self.do(lambda: self.plugin("0045").set_affiliation(slixmpp.JID(room), affiliation, jid=slixmpp.JID(jid)))

    def affiliated(self, room: str, affiliation: Any = "member") -> set[str]:  # noqa: ANN401 - the same
        """Who has a standing in a room."""
        found = self.do(lambda: self.plugin("0045").get_affiliation_list(slixmpp.JID(room), affiliation))
        return {str(jid) for jid in found}

    def rooms(self, service: str) -> dict[str, str]:
        """The public rooms of a service, and how they are called."""
        answer = self.do(lambda: self.plugin("0030").get_items(jid=slixmpp.JID(service)))
        return {str(item[0]): str(item[2]) for item in answer["disco_items"]["items"]}

    # --- files

    def upload(self, name: str, content: bytes, service: str) -> str:
        """Upload a file; gives its address."""
        put, get = self.do(lambda: self._ask_slot(service, name, len(content)))
        headers = {each.get("name", ""): each.text or "" for each in put.iter(f"{{{UPLOAD}}}header")}
        status, _ = self._web("PUT", put.get("url"), content, headers)
        assert status == 201, status
        return str(get.get("url"))

    async def _ask_slot(self, service: str, name: str, size: int) -> list[ET.Element]:
        """XEP-0363 by hand: slixmpp's own plugin would bring a web client of its own."""
        request = self.stream.make_iq_get(ito=slixmpp.JID(service))
        words = {"filename": name, "size": str(size), "content-type": BYTES}
        request.append(ET.Element(f"{{{UPLOAD}}}request", words))
        answer = await _sent(request)
        return [next(answer.xml.iter(f"{{{UPLOAD}}}{verb}")) for verb in ("put", "get")]

    def fetch(self, url: str) -> tuple[int, bytes]:
        """Get a file from the site where this person is logged in, whatever port the address names."""
        return self._web("GET", url)

    def _web(
        self, verb: str, url: str, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The name in the address stands for the site that serves it: here it is looked up by hand."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", self.ports.web, timeout=WAIT_S)
        try:
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            sent = {"Host": parts.hostname or "", "Content-Type": BYTES, **(headers or {})}
            connection.request(verb, path, content, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _sent(request: Any) -> Any:  # noqa: ANN401 - the same
    return request.send()


def befriend(one: Client, other: Client) -> None:
    """Both see each other's presence from now on."""
    one.subscribe(other.jid)
    for here, there in ((one, other), (other, one)):
        wait_for(f"{here.jid} and {there.jid} being friends", partial(_are_friends, here, there), WAIT_S)


def _are_friends(here: Client, there: Client) -> bool:
    return here.subscription(there.jid) == "both"
