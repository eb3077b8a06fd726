"""A real Chromium without a window, spoken to in its DevTools protocol over two pipes: no driver, no port, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = "chromium-headless-shell"
WAIT_S = 60.0
"""Longer than a partner must be silent until it is called so."""
PICTURE_MAX = 2600
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


class Page:
    """One tab."""

    def __init__(self, process: subprocess.Popen[bytes], write_fd: int, read_fd: int) -> None:
        self._process = process
        self._write_fd, self._read_fd = write_fd, read_fd
        self._number = 0
        self._left = b""
        self.events: list[dict[str, Any]] = []
        self._tab = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["ses" + "sionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: object) -> dict[str, Any]:
        """One command; returns its result."""
        self._number += 1
        said: dict[str, object] = {"id": self._number, "method": method, "params": values}
        if self._tab:
            said["ses" + "sionId"] = self._tab
        os.write(self._write_fd, json.dumps(said).encode() + b"\0")
        number = self._number
        until_s = time.monotonic() + WAIT_S
        while True:
            for message in self._messages(until_s):
                if message.get("id") == number:
                    assert "error" not in message, f"{method}: {message['error']}"
                    found: dict[str, Any] = message["result"]
                    return found
                self.events.append(message)

    def _messages(self, until_s: float) -> Iterator[dict[str, Any]]:
        ready, _, _ = select.select([self._read_fd], [], [], max(0.0, until_s - time.monotonic()))
        assert ready, f"Chromium did not answer within {WAIT_S} s"
        self._left += os.read(self._read_fd, 1 << 20)
        assert self._left, "Chromium has ended"
        *whole, self._left = self._left.split(b"\0")
        for each in whole:
            yield json.loads(each)

    def run(self, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        """Run a script in the page; returns what it gives."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, what: str, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        """Wait until a script gives something true."""
        until_s = time.monotonic() + WAIT_S
        while not (
            found := self._try(f"(() => {{ const found = {script}; return found instanceof Node || found; }})()")
        ):
            assert time.monotonic() < until_s, f"not seen: {what}; the page says: {self.run('document.body.innerText')}"
            select.select([], [], [], 0.05)
        return found

    def _try(self, script: str) -> Any:  # noqa: ANN401 - whatever the script gives
        try:
            return self.run(script)
        except AssertionError:  # the page is being replaced
            return None

    def open(self, url: str) -> None:
        """Go somewhere and wait until it is there."""
        self.run("window.old = true")
        self.call("Page.navigate", url=url)
        self.wait(url, "document.readyState === 'complete' && !window.old")

    def leave(self, act: Callable[[], object]) -> None:
        """Do something that leads to another page, and wait for it."""
        self.run("window.old = true")
        act()
        self.wait("another page", "document.readyState === 'complete' && !window.old")

    def press(self, key: str, code: int, text: str = "") -> None:
        """One key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def write(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def look(self, size: str, scheme: str) -> None:
        """Be a phone or a desktop, light or dark."""
        width, height = SIZES[size]
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == "phone",
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        """The page as a PNG, from its top down to `PICTURE_MAX`."""
        width, height = self.run("[window.innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, PICTURE_MAX), "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the browser found wrong: scripts, and loads that the policy of the page refused. An answer of 4xx is none."""
        self.run("1")
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded")
        found = [each["params"] for each in self.events if each.get("method") in wrong]
        return [json.dumps(each)[:500] for each in found if each.get("entry", {}).get("source") != "network"]

    def requested(self) -> set[str]:
        """Every address that was asked."""
        asked = (
            each["params"]["request"]["url"] for each in self.events if each.get("method", "").endswith("willBeSent")
        )
        return {url for url in asked if not url.startswith("data:")}


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A browser with an empty profile, ended with everything that it started."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()

    words = [
        # Chromium reads from 3 and writes to 4.
        *("bash", "-c", f'exec "$@" 3<&{in_read} 4>&{out_write}', "bash"),
        PROGRAM,
        "--remote-debugging-pipe",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(in_read, out_write)) as process:
        os.close(in_read)
        os.close(out_write)
        try:
            yield Page(process, in_write, out_read)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            os.close(in_write)
            os.close(out_read)
