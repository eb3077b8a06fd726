"""The catalogue of errors: what each code means and what the operator must do.

The table `CATALOGUE` is the single source: `docs/OPERATING.md` is generated from it and a test keeps them equal.
A code never changes its meaning; a retired one is never used again. Exit statuses follow `status`:
2 = stopped, a person must act; 1 = works, but not as wished; 64 = the command or a file given to it is wrong.
"""

from __future__ import annotations

from poolpair.codes import Code, Entry, Remedy

_I, _P, _D, _W, _R = Remedy.FIX_INPUT, Remedy.FIX_PLACE, Remedy.DECIDE, Remedy.WAIT, Remedy.REPORT

CATALOGUE: dict[Code, Entry] = {
    Code.CONFIG: Entry(
        _I,
        64,
        "the pool file has a wrong, unknown or missing key",
        "correct the key that the message names",
    ),
    Code.PROFILE: Entry(
        _I,
        64,
        "the profile does not fit the application's tables",
        "correct the profile; the message names the table and column",
    ),
    Code.KEY_FILE: Entry(
        _I,
        64,
        "the key file is missing, unreadable, not private (0600) or not a key file",
        "`pair invite` and `pair join` make it, or `key new` and a copy for the partner; chmod 600",
    ),
    Code.NOT_INSTALLED: Entry(_I, 64, "this store was not prepared for poolpair", "run `poolpair -c FILE init`"),
    Code.USAGE: Entry(_I, 64, "the command does not fit the present state", "read the message; nothing was changed"),
    Code.ROOT: Entry(
        _I, 64, "the service was started as root", "run it as the application's user, or give --allow-root"
    ),
    Code.API_ADDRESS: Entry(
        _I,
        64,
        "the address of `poolpair api` cannot be used",
        "choose another with `listen` in [api], or end what holds it",
    ),
    Code.APPLICATION: Entry(
        _I,
        64,
        "the application's own configuration cannot be read",
        "correct the file and line that the message names; nothing was changed",
    ),
    Code.UNFIT: Entry(
        _I,
        64,
        "the application is not set up, or does not run, as a pair needs it",
        "see what `poolpair adopt prosody` proposes",
    ),
    Code.NOT_MASTER: Entry(
        _I,
        64,
        "the central management store is held by another pool",
        "give the command at the pool that holds it: `poolpair cms status` says which",
    ),
    Code.OUTDATED: Entry(
        _I, 64, "a document was changed since it was read", "read the newest version, and make the change in that"
    ),
    Code.TOO_MUCH: Entry(
        _I,
        64,
        "documents would be larger than each server should hold",
        "leave out what is not needed; nothing was changed",
    ),
    Code.TOPOLOGY: Entry(
        _I,
        64,
        "a topology or settings for the deployment do not hold together",
        "correct what the message names; nothing was published",
    ),
    Code.API_FILES: Entry(
        _I,
        64,
        "the API's tokens or certificate are missing, not readable or not private",
        "chmod 600 the file that the message names, as the service's account; `poolpair token new` makes a token",
    ),
    Code.TOKEN: Entry(
        _I, 64, "a request came without a token that is known here", "`poolpair token show` prints those of this pool"
    ),
    Code.ROLE: Entry(
        _I, 64, "this token, or this way to the API, may not do that", "take an operator's token, and loopback or TLS"
    ),
    Code.REQUEST: Entry(
        _I, 64, "a request is not what the API takes", "read the message and `/v1/openapi.json`; nothing was changed"
    ),
    Code.STORE_MISSING: Entry(
        _P, 2, "the application's database is not there", "check `store` in the pool file and that the disk is mounted"
    ),
    Code.STORE_LOCKED: Entry(
        _P,
        1,
        "another process kept the database locked too long",
        "nothing to do if it passes; else find the process that holds the lock",
    ),
    Code.STORE_BROKEN: Entry(
        _P, 2, "the database answered with an error", "look at the message; check the disk and run an integrity check"
    ),
    Code.SCHEMA: Entry(
        _P,
        2,
        "tables of the two pools differ; what cannot be applied waits",
        "run the application's migration on the side that lacks it",
    ),
    Code.CAPTURE_BROKEN: Entry(
        _P,
        2,
        "capture triggers are missing, changes may have gone unseen",
        "run `poolpair -c FILE init`: it puts them back and compares both copies",
    ),
    Code.STORE_REPLACED: Entry(
        _P,
        2,
        "the database's file was replaced or removed while the service worked; it ended",
        "start the service again: it works in the file that is there now",
    ),
    Code.SHARE_MISSING: Entry(
        _P,
        2,
        "a share, or one of its folders, is not there",
        "mount it or correct the path; `poolpair -c FILE init` on its owner makes the folders",
    ),
    Code.SHARE_DENIED: Entry(
        _P, 2, "this account lacks a permission on a share", "grant the permission that the message names"
    ),
    Code.SHARE_FULL: Entry(_P, 2, "no space is left on a share", "free space there; delivery goes on by itself"),
    Code.SHARE_READ_ONLY: Entry(_P, 2, "a share is mounted read-only", "mount it writable; delivery goes on by itself"),
    Code.SHARE_FOREIGN: Entry(
        _P,
        2,
        "a share belongs to another pool or pair",
        "correct `share` in the pool file, or bring the right key file back; nothing was written there",
    ),
    Code.SHARE_FAILED: Entry(
        _P, 2, "a share answered with an unexpected error", "look at the message; it is tried again in the next cycle"
    ),
    Code.SCRATCH: Entry(
        _P,
        2,
        "no space or permission in the scratch folder",
        "free space there; to set another `scratch`, stop the service and move what lies in it first",
    ),
    Code.TREE: Entry(
        _P, 2, "the tree of files is missing or unreadable", "mount it or correct `files`; no deletion was sent"
    ),
    Code.STORE_SET_BACK: Entry(
        _D,
        2,
        "this store is older than what the partner already has",
        "`poolpair setback show`, then `poolpair setback resolve`",
    ),
    Code.CLONE: Entry(
        _D,
        2,
        "this store is a copy: it is not the one that owns its share",
        "stop the copy; or, if it is the one to keep, `poolpair adopt-store --yes`",
    ),
    Code.HELD: Entry(
        _D,
        1,
        "a package would delete very much, or a first copy what stands here alone; it and all after it wait",
        "`poolpair held list` (a first copy: are the two sites swapped?), then `poolpair held apply` or `poolpair held refuse`",
    ),
    Code.PARKED: Entry(
        _D,
        1,
        "this store refused some groups; the rest goes on",
        "`poolpair parked list`, mend the cause, `poolpair parked retry`",
    ),
    Code.SETTINGS: Entry(
        _D,
        2,
        "homes, profile or the use of `files` differ between the two pools",
        "make them equal on both sides and restart; packages wait meanwhile",
    ),
    Code.REFUSED_BY_PARTNER: Entry(
        _D,
        2,
        "the partner's operator refused a package",
        "restore what was deleted here, then `poolpair sync`; or `poolpair sync` alone, if it was meant",
    ),
    Code.UNHOMED: Entry(
        _D, 1, "rows belong to no pool: no pattern of [homes] matches", "add a pattern to [homes] on both sides"
    ),
    Code.TOO_LARGE: Entry(
        _D, 1, "a conference is larger than conference_max and waits", "raise conference_max, or leave it here"
    ),
    Code.FOREIGN_WRITES: Entry(
        _D,
        1,
        "rows of the partner's homes were changed here by somebody",
        "find the writer; `poolpair verify --repair` at the pool whose rows they are undoes what was written",
    ),
    Code.LEDGER_MOVED: Entry(
        _D,
        64,
        "the rows of a ledger entry were written again since it was made",
        "look at them with `poolpair ledger show`; --force lets the chosen version stand all the same",
    ),
    Code.INCOMPLETE: Entry(
        _D,
        2,
        "this copy is not complete: taking over would serve less than the partner had",
        "wait until `status` shows it complete, or accept what the message says is missing with --accept-incomplete",
    ),
    Code.HOOK_FAILED: Entry(
        _D,
        2,
        "a hook failed or was not over in time; the plan waits at that step",
        "look at `poolpair hook show`, mend it and give the command again; or give the plan up with --abort",
    ),
    Code.DRILL: Entry(
        _D,
        2,
        "a drill failed: a takeover might not give what it should",
        "read the message; nothing but the copy was touched. `poolpair drill` again when it is mended",
    ),
    Code.LEASE: Entry(
        _W,
        1,
        "another service already works for this pool",
        "stop that one first and give the command again; only another front end of the pool stands by",
    ),
    Code.PARTNER_SILENT: Entry(
        _W, 2, "no fresh word from the partner", "look at the partner's service and at both shares"
    ),
    Code.NEWER_FORMAT: Entry(
        _W,
        2,
        "the partner writes a newer format than this release reads",
        "upgrade this side; packages wait in the share",
    ),
    Code.TIMEOUT: Entry(
        _W, 1, "the state that was waited for did not come in time", "run `poolpair status` on either side"
    ),
    Code.NO_WORD: Entry(_W, 1, "the partner was never heard, nothing is sent yet", "start the partner's service"),
    Code.SERVICE_DOWN: Entry(_W, 3, "no service runs for this pool", "start it: `poolpair -c FILE run`"),
    Code.SELF_FENCED: Entry(
        _W,
        2,
        "this pool fenced itself: for `self_fence_after` it has had no fresh word, and the partner may have taken over",
        "mend the line, it lifts by itself; or, if the partner is known not to serve, `poolpair gate open --reason`",
    ),
    Code.GATE_CLOSED: Entry(
        _W,
        1,
        "nothing is served here yet: the partner has not been heard since the start, and may have taken over",
        "wait; or, if the partner is known not to serve, `poolpair gate open --reason`",
    ),
    Code.APPLICATION_DOWN: Entry(_W, 2, "the application does not run", "start it; it is told whom it serves"),
    Code.PAUSED: Entry(_W, 1, "an operator holds packages back", "`poolpair resume` sends them"),
    Code.DAMAGED: Entry(
        _R,
        2,
        "a file in the share is truncated, altered or not sealed for this pair",
        "look at `poolpair quarantine list`, then `poolpair quarantine clear`; the partner sends again by itself",
    ),
    Code.FOREIGN_PACKAGE: Entry(
        _R,
        2,
        "a file in the share was made for another pair, direction or channel",
        "look at `poolpair quarantine show`; check both `share` settings",
    ),
    Code.MISNAMED: Entry(
        _R, 2, "a file's name does not agree with its sealed content", "look at `poolpair quarantine show`"
    ),
    Code.LIMIT: Entry(
        _R,
        2,
        "a file is larger inside than it says or than is allowed",
        "look at `poolpair quarantine show`; raise the limit if it is yours",
    ),
    Code.REPLAY: Entry(
        _R,
        1,
        "an old cookie came again and was ignored",
        "nothing to do; if it goes on, look for a second writer in the share",
    ),
    Code.STALE: Entry(
        _R,
        1,
        "a package of a reign that has ended; what it held is in the ledger as standing, until its pool returns and hands it in",
        "nothing to do",
    ),
}
