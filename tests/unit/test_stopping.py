"""The word to end reaches the service wherever a signal meets it."""

from __future__ import annotations

import subprocess
import sys
import time
from threading import Thread

from poolpair.stopping import Stop

STORM = """
import signal
from poolpair.stopping import Stop

stop, signals = Stop(), 0

def handle(*_):
    global signals
    signals += 1
    stop.set()

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0003)
while signals < 3000:
    stop.wait(0.001)
signal.setitimer(signal.ITIMER_REAL, 0)
print("ended")
"""


def test_a_signal_handler_may_say_it_at_any_moment() -> None:
    """Three thousand signals meet a thread that waits: none finds a lock held by what it interrupted."""
    answer = subprocess.run([sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "ended\n", "")


def test_every_thread_that_waits_is_woken() -> None:
    """What is said once ends every wait, those that begin later too."""
    stop = Stop()
    woken: list[bool] = []

    def look() -> None:
        stop.wait(60)
        woken.append(stop.is_set())

    waiting = [Thread(target=look) for _ in range(3)]
    for thread in waiting:
        thread.start()
    stop.set()
    for thread in waiting:
        thread.join(30)
    look()
    assert woken == [True] * 4


def test_a_wait_in_vain_ends() -> None:
    """Nothing is said: the wait ends after its time, and not before."""
    stop, began_s = Stop(), time.monotonic()
    stop.wait(0.05)
    assert time.monotonic() - began_s >= 0.05
    assert not stop.is_set()
