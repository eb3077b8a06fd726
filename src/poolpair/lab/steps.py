"""The steps of the demo, in order. Each does what a user or an operator does, and waits until the outcome is seen."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from poolpair.lab.compare import Comparison, compare, doubled
from poolpair.lab.crash import kill_while_applying
from poolpair.lab.pool import NotSeen, Pool, run_command, wait_at, wait_for
from poolpair.lab.stage import Stage, Step
from poolpair.lab.traffic import NOTHING, Traffic, traffic

INTERVAL_S = 5
KILLS = 4
USERS = "PresenceFocus"
FRIEND = "a.example", "myriel", "roster", "cosette@a.example", "json", '{"name":"Cosette","subscription":"both"}'
SLOT = "5eed0000-cafe-4000-8000-000000000001"


def run_steps(stage: Stage, a: Pool, b: Pool) -> None:
    """Run every step. Raises NotSeen at the first that was not seen."""
    figures: dict[str, Traffic] = {}
    settings(stage, a, b)
    figures["the first copy"] = first_copy(stage, a, b)
    figures["one edited buddy list"] = edit(stage, a, b)
    upload(stage, a, b)
    at_rest(stage, a, b)
    figures[f"an idle interval of {INTERVAL_S} s"] = idle(stage, a, b)
    stop_and_sync(stage, a, b)
    ask_both(stage, a, b)
    start_again(stage, a, b)
    kill(stage, a, b)
    last(stage, a, b, figures)


def settings(stage: Stage, a: Pool, b: Pool) -> None:
    """Pool files with the original's defaults, as `config show` prints them."""
    with stage.step("the settings are the original's: every two minutes, 100 MB for a conference") as step:
        made = run_command("key", "new", str(a.folder / "pair.key"))
        if made.exit_status:
            raise NotSeen(made.talk.strip())
        for pool in (a, b):
            pool.prepare()
        shown = a.must("config", "show").out.splitlines()
        lines = [" ".join(line.split()) for line in shown if line.startswith(("sync.interval", "sync.conference_max"))]
        if [line.split()[1] for line in lines] != ["2m", "100MiB"]:
            raise NotSeen(f"config show says {lines}")
        for line in lines:
            step.say(f"| {line}")
        step.say(f"from here on with interval = {INTERVAL_S}s, for the sake of pace")
        for pool in (a, b):
            pool.write_toml(interval=f'"{INTERVAL_S}s"', eager="true")


def first_copy(stage: Stage, a: Pool, b: Pool) -> Traffic:
    """Both services start; each pool gets a whole copy of the other's users and files."""
    with stage.step("first copy, both ways: two services start as two processes") as step:
        for pool in (a, b):
            pool.must("init")
        begun_s = time.monotonic()
        for pool in (a, b):
            pool.start()
        found = wait_equal(a, b)
        equal_s = time.monotonic() - begun_s
        wait_final(a, b)
        moved = traffic(a, b).since(NOTHING)
        step.say(
            f"{found.rows} rows and {found.files} files equal on both sides {equal_s:.1f} s after A's service was started"
        )
        step.say(f"both say FinalState; {moved}")
        step.figures.update(rows=found.rows, files=found.files, equal_s=round(equal_s, 2), bytes=moved.total)
    return moved


def edit(stage: Stage, a: Pool, b: Pool) -> Traffic:
    """A client of A adds a contact; Prosody deletes and inserts the whole buddy list, and so does this."""
    with stage.step("a user's buddy list, edited at A, is seen at B") as step:
        before = traffic(a, b)
        begun_s = time.monotonic()
        whole = 'FROM prosody WHERE host = ? AND "user" = ? AND store = ?'
        query = f"SELECT * {whole}"
        rows = a.ask(query, *FRIEND[:3])
        insert = "INSERT INTO prosody VALUES (?, ?, ?, ?, ?, ?)"
        a.change((f"DELETE {whole}", FRIEND[:3]), *((insert, row) for row in [*rows, FRIEND]))
        wait_at("the edited buddy list at B", lambda: b.ask(f"{query} AND key = ?", *FRIEND[:4]), a, b)
        seen_s = time.monotonic() - begun_s
        at_b = b.ask(query, *FRIEND[:3])
        if sorted(at_b) != sorted([*rows, FRIEND]):
            raise NotSeen(f"the buddy list at B has {len(at_b)} rows, not the {len(rows) + 1} of A")
        wait_final(a, b)
        moved = traffic(a, b).since(before)
        step.say(
            f"myriel's list of {len(at_b)} rows, {FRIEND[3]} among them, is at B after {seen_s * 1000:.0f} ms (eager)"
        )
        step.figures.update(seen_s=round(seen_s, 3), bytes=moved.total, package_bytes=moved.package_bytes)
    return moved


def upload(stage: Stage, a: Pool, b: Pool) -> None:
    """A client of B uploads a file: the file, and the row that describes it."""
    with stage.step("a file, uploaded at B, is seen at A") as step:
        name = f"{SLOT.replace('-', '%2d')}.bin"
        content = b"".join(hash_line(n) for n in range(4000))
        begun_s = time.monotonic()
        (b.uploads / f"{name}~").write_bytes(content)
        (b.uploads / f"{name}~").rename(b.uploads / name)
        columns = 'host, "user", store, key, "when", "with", type, value'
        values = "'share.b.example', '', 'uploads', ?, 1, 'valjean@b.example', 'xml', '<request/>'"
        b.change((f"INSERT INTO prosodyarchive ({columns}) VALUES ({values})", (SLOT,)))
        copy = a.data / b.uploads.relative_to(b.data) / name
        wait_at("the uploaded file at A", copy.exists, a, b)
        row = "SELECT 1 FROM prosodyarchive WHERE store = 'uploads' AND key = ?"
        wait_at("the row of the uploaded file at A", lambda: a.ask(row, SLOT), a, b)
        seen_s = time.monotonic() - begun_s
        if copy.read_bytes() != content:
            raise NotSeen("the file at A differs from the one at B")
        step.say(f"{len(content):,} bytes and their row are at A after {seen_s * 1000:.0f} ms, equal")
        step.figures.update(bytes=len(content), seen_s=round(seen_s, 3))


def hash_line(number: int) -> bytes:
    """Some bytes that are all different."""
    return f"line {number * 2654435761 % 2**32:08x} of an upload\n".encode()


def at_rest(stage: Stage, a: Pool, b: Pool) -> None:
    """Back to the original's way: changes wait for the interval. The line is at rest."""
    with stage.step("with eager = false, at rest: Data is empty, Cookie is not") as step:
        wait_final(a, b)
        for pool in (a, b):
            pool.stop()
            pool.write_toml(eager="false")
        for pool in (a, b):
            pool.start()
        wait_final(a, b)
        standing = [path.name for pool in (a, b) for path in pool.packages()]
        if standing:
            raise NotSeen(f"packages stand although everything is in FinalState: {standing}")
        cookies = "a cookie of each module in both shares"
        wait_at(cookies, lambda: len(a.cookies()) == len(b.cookies()) == 2, a, b)
        folders = sorted(path.name for path in a.share.iterdir() if path.is_dir())
        step.say(f"share-a holds {', '.join(folders)}: no CentralMgmt")
        step.say(
            f"TaskAssignment names the front end: {(a.share / 'TaskAssignment/backup-service.txt').read_text().strip()}"
        )


def idle(stage: Stage, a: Pool, b: Pool) -> Traffic:
    """One interval in which nobody changes anything: only heartbeats pass."""
    with stage.step(f"an idle interval: nothing but cookies passes in {INTERVAL_S} s") as step:
        before, begun_s = traffic(a, b), time.monotonic()
        wait_for("the end of the interval", lambda: time.monotonic() - begun_s >= INTERVAL_S, INTERVAL_S + 1)
        moved = traffic(a, b).since(before)
        if moved.packages or not moved.cookies:
            raise NotSeen(f"while idle: {moved}")
        step.say(f"{moved}")
        step.figures.update(bytes=moved.total, cookies=moved.cookies)
    return moved


def stop_and_sync(stage: Stage, a: Pool, b: Pool) -> None:
    """The experiment of the original: stop the service at B, invoke a sync at A, look into both shares."""
    with stage.step("B's service is stopped, a sync is invoked at A") as step:
        if (ended := b.stop()) != 0:
            raise NotSeen(f"B's service ended with {ended} after SIGTERM")
        update = 'UPDATE prosody SET value = \'{"name":"Marguerite!"}\' WHERE "user" = \'myriel\' AND key = ?'
        a.change((update, FRIEND[3:4]))
        a.must("sync", "--channel", USERS)
        (package,) = wait_at("a package in B's share", lambda: b.packages(USERS), a, b)
        if left := a.cookies(USERS):
            raise NotSeen(f"A's Cookie folder is not empty: {left}")
        step.say(f"stands in B's share, {package.stat().st_size:,} bytes: {package.parent.relative_to(b.share)}/")
        step.say(package.name)
        step.say("A's Cookie/PresenceFocusCookie is empty: no word from B since that delivery")
        step.figures.update(package=package.name, package_bytes=package.stat().st_size)


def ask_both(stage: Stage, a: Pool, b: Pool) -> None:
    """Status on both pools; that of A stays green only as long as the change is young."""
    with stage.step("status, asked on both pools") as step:

        def not_steady() -> bool:
            view = next(found for found in a.status()["channels"] if found["channel"] == "users")["export"]
            return bool(view["status"] == "NonSteadyState")

        wait_at("A saying NonSteadyState while B is silent", not_steady, a, b, poll_s=0.5)
        told = a.run("status")
        lines = told.out.splitlines()
        if "NOT acknowledged" not in told.out or told.exit_status == 0:
            raise NotSeen(f"status at A hides that nothing was acknowledged: {told.out}")
        down = b.run("status")
        if down.exit_status != 3 or "DOWN" not in down.out or "not applied" not in down.out:
            raise NotSeen(f"status at B ends with {down.exit_status}: {down.out}")
        step.say(f"at A (exit status {told.exit_status}):")
        for line in lines[1:7]:
            step.say(f"| {line}")
        step.say("at B (exit status 3):")
        for line in (found for found in down.out.splitlines() if "DOWN" in found or "not applied" in found):
            step.say(f"| {line}")


def start_again(stage: Stage, a: Pool, b: Pool) -> None:
    """B's service consumes what stands, and answers with a cookie."""
    with stage.step("B's service is started: the package vanishes, the cookie comes back") as step:
        begun_s = time.monotonic()
        b.start()
        wait_at("the package vanishing from B's share", lambda: not b.packages(), a, b)
        gone_s = time.monotonic() - begun_s
        wait_at("the cookie coming back to A's share", lambda: a.cookies(USERS), a, b)
        back_s = time.monotonic() - begun_s
        wait_final(a, b)
        step.say(
            f"the package was gone after {gone_s:.1f} s, the cookie back after {back_s:.1f} s; both say FinalState"
        )


def kill(stage: Stage, a: Pool, b: Pool) -> None:
    """`kill -9` of B while it applies, then a new start: all or nothing, once."""
    with stage.step("kill -9 of B in the middle of applying, then a new start") as step:
        for attempt in range(1, KILLS + 1):
            hit = kill_while_applying(a, b, f"crowd{attempt}", users=300 * attempt)
            for line in str(hit).splitlines():
                step.say(f"{f'try {attempt}: ' if attempt > 1 or hit.when != 'middle' else ''}{line}")
            step.figures[f"try {attempt}"] = str(hit)
            b.start()
            wait_final(a, b)
            if hit.when == "middle":
                break
        else:
            raise NotSeen(f"{KILLS} kills came before or after applying, none in the middle")
        found = wait_equal(a, b)
        if twice := doubled(b):
            raise NotSeen(f"{twice} rows stand twice at B")
        step.say(f"after the new start: {found}; none doubled; FinalState")


def last(stage: Stage, a: Pool, b: Pool, figures: dict[str, Traffic]) -> None:
    """Stop everything, then compare what lies on the disks, with nothing of the product."""
    with stage.step("an independent comparison: a plain driver and SHA-256, both services stopped") as step:
        for pool in (a, b):
            if (ended := pool.stop()) != 0:
                raise NotSeen(f"the service of {pool.name} ended with {ended} after SIGTERM")
        found = compare(a, b)
        if not found.equal:
            raise NotSeen(str(found))
        step.say(str(found))
        step.figures.update(rows=found.rows, files=found.files)
        step.say("bytes over the line, both ways together (packages: sizes recorded with each delivery;")
        step.say("cookies: counted by their serial numbers, at the size of the one that lies there):")
        for what, moved in figures.items():
            step.say(f"  {what:<24} {moved}")
            step.figures[what] = moved.total
        tell_tale(step, a, b)


def tell_tale(step: Step, a: Pool, b: Pool) -> None:
    """Nothing is left lying about in the shares."""
    left = [path for pool in (a, b) for folder in ("Temp", "Quarantine") for path in (pool.share / folder).iterdir()]
    if left:
        raise NotSeen(f"left in the shares: {left}")
    step.figures["left in Temp and Quarantine"] = 0


def wait_equal(a: Pool, b: Pool) -> Comparison:
    """Wait until both pools hold the same rows and files."""

    def equal() -> Comparison | None:
        found = compare(a, b)
        return found if found.equal else None

    return wait_at("both pools holding the same rows and files", equal, a, b, poll_s=0.1)


def wait_final(a: Pool, b: Pool) -> None:
    """Wait until `status` on both sides says FinalState and exits with 0. Raises NotSeen with what it says instead."""
    with ThreadPoolExecutor(2) as both:
        for wait in [both.submit(_wait_final, pool) for pool in (a, b)]:
            wait.result()


def _wait_final(pool: Pool) -> None:
    try:
        wait_for(f"FinalState at {pool.name}", pool.is_final, pool.patience_s, poll_s=0.1)
    except NotSeen as reason:
        told = pool.run("status")
        words = " / ".join(" ".join(line.split()) for line in told.out.splitlines())
        raise NotSeen(f"{reason}; status there (exit status {told.exit_status}): {words}") from None
