"""Decide on a ledger entry about a file: what the returned pool had takes the place of what is here, stays away, or lies beside it.

What is replaced is kept first, and the entry then says what it was. A running service may scan meanwhile: it finds what it finds anyway.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from poolpair.errors import Code, PoolpairError
from poolpair.pipeline.kept import digest_of, find_kept, keep
from poolpair.pipeline.site import FileHome, Site, serving_name
from poolpair.state import Fencing, Serving
from poolpair.store.ledger_files import FileVersion, path_of, version_from, version_text
from poolpair.store.tree import Tree, TreeFile, text
from poolpair.store.values import CatalogueFile, Choice, LedgerEntry


def resolve_file(site: Site, entry: LedgerEntry, choice: Choice, *, force: bool = False) -> LedgerEntry:
    """Let the chosen version stand, or both. Raises LEDGER_MOVED, USAGE, TREE, SCRATCH; nothing is decided then."""
    tree = site.tree
    if tree is None:
        raise PoolpairError(Code.TREE, "`files` is not set in this pool's file")
    path, owner = path_of(entry), site.file_home(path_of(entry))
    if owner is None or owner.home != entry.home:
        raise PoolpairError(Code.USAGE, f"{text(path)} is not carried any more as it was when the entry was made")
    refuse_on_its_way(site.serving(entry.home), site.partner)
    decided, noted = entry, None
    if choice is Choice.THEIRS:
        decided, noted = _put_theirs(site, tree, entry, path, owner, force=force)
    elif choice is Choice.BOTH:
        noted = _put_beside(site, tree, entry, path)
    decided = replace(decided, state=choice, decided_utc=site.clock.utc_iso())
    with site.store.transaction() as tx:
        refuse_on_its_way(tx.load(Serving, serving_name(entry.home)), site.partner)
        tx.decide(decided)
        tx.note_files([noted] if noted is not None else [], log=True)
        if entry.state is Choice.STANDING and (noted is None or noted.path != path):
            # Else it would be merged over when it is handed in.
            tx.note_files([tx.file(path) or _file(path, owner, None, None)], log=True)
    return decided


def refuse_on_its_way(serving: Serving | None, partner: str) -> None:
    """A decision that is not in the final package of a handover would be undone by it. Raises USAGE."""
    if serving is not None and serving.fencing is Fencing.HANDING:
        raise PoolpairError(Code.USAGE, f"the users are on their way to pool {partner}: decide there")


def _put_theirs(
    site: Site, tree: Tree, entry: LedgerEntry, path: bytes, owner: FileHome, *, force: bool
) -> tuple[LedgerEntry, CatalogueFile | None]:
    before = tree.stat(path)  # before it is read: what is written from now on is seen
    theirs, ours, here = version_from(entry.theirs), version_from(entry.ours), _version(tree, path)
    digest, wanted = (version.sha256 if version else None for version in (here, theirs))
    if digest not in (wanted, ours.sha256 if ours else None) and not force:
        raise PoolpairError(Code.LEDGER_MOVED, f"{text(path)} was written again since")
    if digest == wanted:
        return entry, None
    if theirs is not None:
        name = _kept(site, tree, theirs)
        if here is not None:
            with tree.open(path) as source:
                keep(tree, here.sha256, source, size=here.size, mtime_ns=here.mtime_ns)
        noted = _placed(tree, name, path, theirs, owner, before)
    else:
        assert here is not None
        tree.set_aside(path, here.sha256)
        noted = _file(path, owner, None, None)
    return replace(entry, ours=version_text(here)), noted


def _put_beside(site: Site, tree: Tree, entry: LedgerEntry, path: bytes) -> CatalogueFile:
    theirs = version_from(entry.theirs)
    if theirs is None:
        raise PoolpairError(Code.USAGE, "the returned pool had deleted it: there is nothing to be put beside it")
    name, beside = _kept(site, tree, theirs), beside_path(path, theirs)
    owner = site.file_home(beside)
    if owner is None or owner.home != entry.home:
        detail = f"the profile does not give {text(beside)} to the same users"
        raise PoolpairError(Code.USAGE, detail, f"take it from {site.scratch / 'spool' / name}, and decide --ours")
    return _placed(tree, name, beside, theirs, owner, tree.stat(beside))


def beside_path(path: bytes, theirs: FileVersion) -> bytes:
    """Where a version is put beside the file: its digest comes before the ending."""
    folder, slash, name = path.rpartition(b"/")
    stem, dot, ending = name.rpartition(b".") if b"." in name[1:] else (name, b"", b"")
    return folder + slash + stem + b".theirs-" + theirs.sha256[:8].encode() + dot + ending


def _kept(site: Site, tree: Tree, theirs: FileVersion) -> str:
    name = find_kept(tree, theirs.sha256)
    if name is None:
        here, there = site.scratch / "spool", f"the spool folder of pool {site.partner}"
        hint = f"look for {theirs.sha256} in {there}, copy it to {here} under this name, and decide again"
        raise PoolpairError(Code.TREE, "what the returned pool had is not kept at this pool", hint)
    return name


def _placed(
    tree: Tree, name: str, path: bytes, version: FileVersion, owner: FileHome, before: TreeFile | None
) -> CatalogueFile:
    """Put a kept version in its place, unless what stands there, looked at last of all, is not `before` any more: raises LEDGER_MOVED."""
    with tree.kept(name) as content, tree.placing() as placing:
        placing.write(path, content, size=version.size, mtime_ns=version.mtime_ns, mode=version.mode)
        placing.sync()
        if tree.stat(path) != before:
            raise PoolpairError(Code.LEDGER_MOVED, f"{text(path)} was written again meanwhile")
        (placed,) = placing.put({})
    return _file(path, owner, placed, version.sha256)


def _file(path: bytes, owner: FileHome, found: TreeFile | None, digest: str | None) -> CatalogueFile:
    return CatalogueFile(
        path=path,
        size=found.size if found else 0,
        mtime_ns=found.mtime_ns if found else 0,
        inode=found.inode if found else 0,
        mode=found.mode if found else 0,
        ctime_ns=found.ctime_ns if found else 0,
        sha256=digest or "",
        home=owner.home,
        conference=owner.conference,
        present=found is not None,
    )


def _version(tree: Tree, path: bytes) -> FileVersion | None:
    """What lies in the tree now."""
    found, digest = tree.stat(path), digest_of(partial(tree.open, path))
    if found is None or digest is None:
        return None
    return FileVersion(size=found.size, mtime_ns=found.mtime_ns, mode=found.mode, sha256=digest)
