"""`poolpair` for a shell, without what it takes to start: a process that has read the program already forks for each command.

The command is the program's own `main`, in a process of its own, with the shell's folder, environment and files. A signal to what the shell
started reaches it, and what kills that kills it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

REQUEST_MAX = 1 << 17
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
words = sys.argv[1:]
if {{"run", "api"}} & set(words) and os.geteuid() == 0:
    words.append("--allow-root")
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
    client.connect({address!r})
    said = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(client, [said], [0, 1, 2])
    process = int(client.recv(16))
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(process, number))
    sys.exit(int(client.recv(16) or b"70"))
"""


@contextmanager
def quick_poolpair(folder: Path) -> Iterator[None]:
    """A `poolpair` in this folder, for as long as it is needed."""
    address, client = folder / "quick.sock", folder / "poolpair"
    words = [sys.executable, "-m", "tests.docs.quick", str(address)]
    with subprocess.Popen(words, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
            client.chmod(0o755)
            yield
        finally:
            process.terminate()


def _serve(address: str) -> None:
    from poolpair.cli.main import main

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what has ended
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(address)
        server.listen(16)
        print("ready", flush=True)  # noqa: T201 - whoever started this waits for it
        while True:
            client, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                client.send(str(_run(client, main)).encode())
                os._exit(0)
            client.close()


def _run(client: socket.socket, main: Callable[[], None]) -> int:
    """Be the program; gives its exit status."""
    said, files, _, _ = socket.recv_fds(client, REQUEST_MAX, 3)
    words, folder, environment = json.loads(said)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["poolpair", *words]
    sys.modules["__main__"].__package__ = None  # a program that is no module goes by its first word
    client.send(str(os.getpid()).encode())
    Thread(target=_die_with, args=(client,), daemon=True).start()
    status = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _die_with(client: socket.socket) -> None:
    """Nothing more ever comes from the shell's side but its end."""
    if not client.recv(1):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1])
