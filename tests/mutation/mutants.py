"""Deliberate breakages of the production code, one for each rule that the protocol rests on. Each must be caught.

`old` stands exactly once in `file`. `test` names a test that catches what the simulator cannot see; without it the simulator must.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One breakage: `rule` says which promise it breaks."""

    name: str
    rule: str
    file: str
    old: str
    new: str
    test: str = ""
    store: str = "memory"


MUTANTS = (
    Mutant(
        name="prune-what-is-packed",
        rule="nothing is pruned before it is acknowledged",
        file="pipeline/acknowledge.py",
        old="tx.prune(channel, out.acknowledged_token)",
        new="tx.prune(channel, out.base_token)",
    ),
    Mutant(
        name="acknowledge-what-is-delivered",
        rule="acknowledged is what the partner says it applied",
        file="protocol.py",
        old="acknowledged_token=max(out.acknowledged_token, intent.token),\n        in_flight",
        new="acknowledged_token=max(out.acknowledged_token, out.base_token),\n        in_flight",
    ),
    Mutant(
        name="no-intent-before-delivery",
        rule="the intent is durable before the package is delivered",
        file="pipeline/pack.py",
        old="        tx.save(intent_name(channel, intent.position), intent)\n        counts",
        new="        counts",
        test="tests/simulation/test_sweeps.py",
    ),
    Mutant(
        name="a-sequence-is-used-twice",
        rule="a sequence number is never used twice",
        file="pipeline/pack.py",
        old="replace(out, next_sequence=out.next_sequence + 1)",
        new="replace(out, next_sequence=out.next_sequence)",
    ),
    Mutant(
        name="token-drawn-after-the-view",
        rule="the token is drawn before the view is fixed",
        file="pipeline/deliver.py",
        old="        intent = replace(packed.intent, delivered=True)\n",
        new="        intent = replace(packed.intent, delivered=True, token=tx.advance())\n",
    ),
    Mutant(
        name="apply-onto-any-position",
        rule="a package is applied onto the position that it follows",
        file="pipeline/receive.py",
        old="            if manifest.follows == inbound.applied:\n",
        new="            if True:\n",
    ),
    Mutant(
        name="position-before-rows",
        rule="rows and the applied position change in one transaction",
        file="pipeline/apply.py",
        old="        outcome = incoming.apply(plan, placed, lambda tx, applied: _record(site, tx, manifest, applied))\n",
        new=(
            "        if incoming.check(plan) is None:\n"
            "            with site.store.transaction() as tx:\n"
            "                _record(site, tx, manifest, Applied(groups=0, rows=0, deleted=0, parked=0))\n"
            "        outcome = incoming.apply(plan, placed, lambda tx, applied: None)\n"
        ),
    ),
    Mutant(
        name="rows-before-position",
        rule="rows and the applied position change in one transaction",
        file="pipeline/apply.py",
        old="        outcome = incoming.apply(plan, placed, lambda tx, applied: _record(site, tx, manifest, applied))\n",
        new=(
            "        outcome = incoming.apply(plan, placed, lambda tx, applied: None)\n"
            "        if not isinstance(outcome, MassDelete):\n"
            "            with site.store.transaction() as tx:\n"
            "                _record(site, tx, manifest, outcome)\n"
        ),
    ),
    Mutant(
        name="believe-a-replayed-cookie",
        rule="a cookie behind what was acknowledged is believed only if it is fresh",
        file="pipeline/acknowledge.py",
        old="    return written is not None and written >= act\n",
        new="    return True\n",
    ),
    Mutant(
        name="believe-whatever-echoes",
        rule="fresh is what echoes a nonce written after the act, not any nonce",
        file="pipeline/acknowledge.py",
        old="    return written is not None and written >= act\n",
        new="    return written is not None\n",
    ),
    Mutant(
        name="rewind-to-what-was-sent",
        rule="a rewind goes on from what the partner has",
        file="protocol.py",
        old="    token = max(out.acknowledged_token, intent.token if intent else 0)\n    return replace(\n",
        new="    token = out.base_token\n    return replace(\n",
    ),
    Mutant(
        name="never-rewind",
        rule="what is neither applied nor standing is sent again",
        file="protocol.py",
        old="    return fresh.after_delivery and out.in_flight[0].sequence not in cookie.standing\n",
        new="    return False\n",
    ),
    Mutant(
        name="rewind-without-proof",
        rule="only a fresh cookie shows that something is missing (else the same is sent for ever)",
        file="protocol.py",
        old="    return fresh.after_delivery and out.in_flight[0].sequence not in cookie.standing\n",
        new="    return out.in_flight[0].sequence not in cookie.standing\n",
        test="tests/unit/test_protocol.py",
    ),
    Mutant(
        name="set-back-goes-unnoticed",
        rule="a position that this store never made stops the channel",
        file="protocol.py",
        old="    if applied is not None and lookup(applied) is None and applied != out.root:\n",
        new="    if False:\n",
    ),
    Mutant(
        name="unfinished-intents-count",
        rule="an intent whose package was never finished is nobody's",
        file="pipeline/intents.py",
        old="return intent if intent.position == position and intent.package_bytes else None",
        new="return intent if intent.position == position else None",
        test="tests/line/test_intents.py::test_a_store_restored_to_between_intent_and_view_knows_that_it_was_set_back",
    ),
    Mutant(
        name="a-waiting-table-is-equal",
        rule="a table that waits ends no comparison as equal",
        file="protocol.py",
        old="    found += len(cookie.waiting)\n",
        new="",
        test="tests/unit/test_protocol.py::test_what_waits_is_not_equal",
    ),
    Mutant(
        name="a-waiting-table-is-forgotten",
        rule="while a table waits the copy is not complete",
        file="pipeline/apply.py",
        old="        complete=tuple(home for home in inbound.complete if home not in manifest.served),\n    )\n\n\ndef look",
        new="    )\n\n\ndef look",
        test="tests/postgres/test_migrations.py::test_tables_that_foreign_keys_tie_wait_together",
    ),
    Mutant(
        name="a-set-back-copy-is-not-compared",
        rule="a target that was set back is cured by a comparison",
        file="protocol.py",
        old='            curing=True,\n            seed=_fresh_seed(out, "the partner\'s store was set back"),\n',
        new="            curing=True,\n",
    ),
    Mutant(
        name="a-clone-works",
        rule="a service whose store does not own its share delivers nothing",
        file="pipeline/identity.py",
        old="    if identity.is_clone:\n",
        new="    if False:\n",
    ),
    Mutant(
        name="a-lost-lease-still-commits",
        rule="the fencing number is checked in every commit",
        file="store/memory/store.py",
        old="if self._lease_number is not None and (lease is None or lease.number != self._lease_number):",
        new="if False:",
        test="tests/contract/test_store_contract.py",
    ),
    Mutant(
        name="echo-is-captured",
        rule="applied rows are not captured again",
        file="store/memory/applying.py",
        old="                self._draft.put(self._table, key, rows)\n",
        new="                self._draft.put(self._table, key, rows)\n                self._draft.log(self._table, key)\n",
    ),
    Mutant(
        name="echo-is-captured-sqlite",
        rule="applied rows are not captured again",
        file="store/sqlite/incoming.py",
        old='self._c.execute("UPDATE main.poolpair_gen SET applying = ?", (applying(plan.served),))',
        new="pass",
        store="sqlite",
    ),
    Mutant(
        name="foreign-rows-are-sent-back",
        rule="only rows of homes that are served here are exported",
        file="store/memory/snapshot.py",
        old="            and self._schema.home(table, key) in cut.served\n",
        new="",
        test="tests/contract/test_store_applying.py",
    ),
    Mutant(
        name="the-oldest-package-wins",
        rule="of several that follow the applied position the newest state is applied",
        file="pipeline/receive.py",
        old="best = max(candidates, key=lambda received: _newness(inbound, received), default=None)",
        new="best = min(candidates, key=lambda received: _newness(inbound, received), default=None)",
        test="tests/line/test_memory_line.py::test_of_several_that_follow_the_newest_is_applied",
    ),
    Mutant(
        name="a-number-may-stand-twice",
        rule="two packages of one number prove that their origin was set back",
        file="pipeline/receive.py",
        old="    if doubled := _doubled(inbound, opened):\n",
        new="    if doubled := set[str]():\n",
        test="tests/badinput/test_found_by_breaking_more.py::test_a_number_that_stands_twice_is_decided_by_a_person",
    ),
    Mutant(
        name="the-partner-looks-well",
        rule="a word says why its writer's own sending is not whole",
        file="pipeline/acknowledge.py",
        old="        sending=_sending_fault(site, channel, counts),\n",
        new="",
        test="tests/badinput/test_found_by_breaking_more.py",
    ),
    Mutant(
        name="what-leads-nowhere-stands",
        rule="standing is what may still be applied",
        file="pipeline/acknowledge.py",
        old="        return manifest.position in coming\n",
        new="        return True\n",
        test="tests/line/test_memory_line.py::test_a_package_of_a_lost_future_does_not_hide_that_another_is_lost",
    ),
    Mutant(
        name="strays-stay",
        rule="packages of other streams that lead nowhere are deleted",
        file="pipeline/receive.py",
        old="    _drop_strays(site, channel, inbound, opened)\n",
        new="",
        test="tests/line/test_memory_line.py::test_a_package_of_a_lost_stream_does_not_stand_for_ever",
    ),
    Mutant(
        name="superseded-stays",
        rule="what is not above the applied position leaves Data",
        file="pipeline/receive.py",
        old="        if _is_superseded(inbound, name):\n",
        new="        if False:\n",
    ),
    Mutant(
        name="own-rows-are-accepted",
        rule="a pool never applies rows of a home that it serves itself",
        file="pipeline/receive.py",
        old="    own = set(manifest.served) & set(site.served())\n",
        new="    own: set[str] = set()\n",
        test="tests/badinput/test_crafted.py",
    ),
    Mutant(
        name="settings-may-differ",
        rule="packages made with other homes or profile wait",
        file="pipeline/receive.py",
        old="    if manifest.settings != site.settings:\n",
        new="    if False:\n",
        test="tests/badinput/test_settings.py",
    ),
    Mutant(
        name="refused-stays-in-data",
        rule="a refused package leaves Data at once",
        file="pipeline/receive.py",
        old="    quarantine_package(site, channel, name.name, error)\n",
        new="",
    ),
    Mutant(
        name="no-guard",
        rule="a package that deletes very much is held",
        file="store/memory/applying.py",
        old="        if deletes > plan.guard_fraction * total:\n",
        new="        if False:\n",
        test="tests/contract/test_store_applying.py",
    ),
    Mutant(
        name="a-seed-deletes-parked-groups",
        rule="parked groups are never deleted by a seed",
        file="store/memory/applying.py",
        old="spared = key in self._groups or key in parked or self._table.waits(key, left_behind)",
        new="spared = key in self._groups or self._table.waits(key, left_behind)",
        test="tests/contract/test_store_applying.py",
    ),
    Mutant(
        name="a-parked-group-is-forgotten",
        rule="a refused group is kept with its rows",
        file="store/memory/applying.py",
        old="        draft.groups_parked += 1\n",
        new="        return\n",
    ),
    Mutant(
        name="complete-while-buckets-differ",
        rule="complete is said only when all buckets matched",
        file="pipeline/apply.py",
        old="complete = (set(inbound.complete) | set(homes)) - unequal",
        new="complete = set(inbound.complete) | set(homes)",
        test="tests/line/test_verify.py",
    ),
    Mutant(
        name="a-first-copy-is-complete",
        rule="a copy that was just begun is not complete",
        file="pipeline/apply.py",
        old="    unequal = {buckets.home for buckets in found}\n",
        new="    found = ()\n    unequal: set[str] = set()\n",
    ),
    Mutant(
        name="a-skipped-delta-is-complete",
        rule="a package that skips its delta makes the copy incomplete",
        file="pipeline/apply.py",
        old="if not (manifest.skips and home in manifest.served))",
        new="if True)",
        test="tests/line/test_memory_line.py::test_a_skipped_delta_is_known_to_be_a_gap_at_once",
    ),
    Mutant(
        name="left-behind-is-not-said",
        rule="what stayed behind is spared by a seed",
        file="pipeline/pack.py",
        old="        left_behind=tuple(sorted(files.left_behind)),\n",
        new="",
        test="tests/line/test_conferences.py::test_a_conference_left_behind_in_a_seed_is_spared_and_sent_later",
    ),
    Mutant(
        name="left-behind-is-forgotten",
        rule="what stayed behind is sent later",
        file="pipeline/pack.py",
        old="            tx.postpone(channel, left_behind, site.served(), whole=compared)\n",
        new="            del compared\n",
    ),
    Mutant(
        name="local-changes-are-overwritten",
        rule="a file that was changed here is set aside before it is replaced",
        file="pipeline/apply_files.py",
        old='    tree.set_aside(file.path, f"{digest[:16]}-{here.mtime_ns}")\n',
        new="",
        test="tests/line/test_conferences.py::test_a_file_changed_at_the_copy_is_kept_aside",
    ),
    Mutant(
        name="placing-is-not-recorded",
        rule="what is about to be placed is recorded first, so that a crash makes no echo",
        file="pipeline/apply.py",
        old="            incoming.mark_placing()\n",
        new="",
    ),
    Mutant(
        name="final-while-pending",
        rule="FinalState means that everything captured is acknowledged",
        file="status.py",
        old="    if not pending and not unhomed and not out.in_flight",
        new="    if not unhomed and not out.in_flight",
    ),
    Mutant(
        name="final-while-in-flight",
        rule="FinalState means that everything captured is acknowledged",
        file="status.py",
        old="    if not pending and not unhomed and not out.in_flight and",
        new="    if not pending and not unhomed and",
    ),
    Mutant(
        name="final-while-incomplete",
        rule="FinalState needs a complete copy",
        file="status.py",
        old="    if out.partner is None or not set(served) <= set(out.partner.complete):\n",
        new="    if False:\n",
        test="tests/unit/test_status.py",
    ),
    Mutant(
        name="final-while-parked",
        rule="FinalState is impossible while a group is parked, held or unhomed",
        file="status.py",
        old="    return not (partner.parked or partner.held or partner.waiting or partner.unhomed or partner.foreign_writes)\n",
        new="    return True\n",
    ),
    Mutant(
        name="silence-is-green",
        rule="without a fresh word nothing is green",
        file="status.py",
        old="    silent = word_age_s is None or word_age_s >= max(SILENT_AFTER_S, 3 * heartbeat_s)\n",
        new="    silent = False\n",
    ),
    Mutant(
        name="any-word-is-fresh",
        rule="the age of the partner's word counts from the nonce that it echoes",
        file="pipeline/acknowledge.py",
        old="        memory.echoed_s = max(written, memory.echoed_s if memory.echoed_s is not None else written)\n",
        new="        memory.echoed_s = site.clock.monotonic_s()\n",
    ),
    Mutant(
        name="frames-may-be-reordered",
        rule="the frame's number is in its nonce",
        file="format/frames.py",
        old='member_number.to_bytes(4, "big") + frame.to_bytes(7, "big")',
        new='member_number.to_bytes(4, "big") + bytes(7)',
        test="tests/unit/format",
    ),
    Mutant(
        name="a-member-may-be-cut",
        rule="the last frame is marked in its nonce",
        file="format/frames.py",
        old="+ bytes((last,))",
        new="+ bytes(1)",
        test="tests/unit/format",
    ),
    Mutant(
        name="one-key-for-both-directions",
        rule="the key of a file is bound to its direction",
        file="format/keys.py",
        old="fields = (LABEL, ring.pair_id, origin, target, channel.value, kind)",
        new="fields = (LABEL, ring.pair_id, channel.value, kind)",
        test="tests/unit/format",
    ),
)
