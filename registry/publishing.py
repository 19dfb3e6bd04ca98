"""The only way in which a release comes to be: rules, canonical form, files on disk, then one transaction.

Files are written, synced and read back before the transaction that names them; that transaction is the publication.
Whatever fails before it leaves files that no release names, which are swept; nothing fails after it but the search
index, which is derived and rebuilt by itself.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime

from registry import ballots, decisions, drafts, rules, signing
from registry.access import Actor, acting, actor_of, refusing
from registry.errors import (
    Busy,
    Conflict,
    Damaged,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    Unauthenticated,
    VotesMissing,
)
from registry.formats import FORMATS, Format
from registry.keys import Keys
from registry.model import Decision, Edition, Release
from registry.store import Store
from registry.store.drafts import Draft, DraftHead
from registry.store.releases import Rendition
from registry.votes import counted_votes

CANONICAL = FORMATS["ntriples"]
BYTES_A_CONCEPT = 14_000
"""What a concept may take in all formats together; publishing asks for three times that before it begins."""


def publish(
    store: Store,
    draft_id: int,
    keys: Keys,
    *,
    version: str = "",
    valid_from: date | None = None,
    issued: datetime | None = None,
    corrects: str = "",
    actor: Actor | None = None,
) -> Edition:
    """Turn a draft into a release that never changes again.

    A submitted draft has its version and its first day, and the votes that it needs are on exactly what is published.
    Where no votes are asked for, an open one is published under the ``version`` and ``valid_from`` given here.
    ``issued`` is now unless a release of the past is loaded; ``corrects`` names the release that an erratum mends.
    Nobody acts where shipped data is loaded.

    :raises Invalid: with the problems found, warnings included unless the draft's decision accepts them.
    :raises KeyRefused: before anything is written, if the keys can't sign.
    :raises VotesMissing: if the committee has not approved exactly this content.
    :raises AlreadyPublished: if this version exists.
    :raises Conflict: if the draft is over, if it or its votes were changed, or if another release came first.
    :raises Busy: if the disk lacks room.
    """
    place = f"draft {draft_id}"
    with refusing(store, actor, "release.publish", place) if actor else nullcontext():
        keys.seal(store.key_sets())
        draft = _decided(store, draft_id, version, valid_from, corrects)
        release, decision = _approved(store, draft)
        _check_room(store, release)
        canonical, *others = write_files(store, release)
        with drafts.acting_if_any(store, actor, "release.publish", place) as act:
            if draft.ballot is None:
                _check_no_votes(store, draft)  # Rules may have come while the files were written.
            edition = store.add_release(
                release,
                keys,
                base=draft.base,
                corrects=draft.corrects,
                issued=issued or datetime.now(UTC).replace(microsecond=0),
                decision=decision,
                canonical=canonical,
                renditions=others,
                draft_id=draft_id,
                draft_revision=draft.revision,
                canonical_name=signing.CANONICAL_NAME,
                file_name=file_name,
            )
            store.release_proposals(draft_id)
            act.object = f"release {edition.nomenclature}@{edition.version}"
            act.before, act.after = place, edition.content_sha256
        return edition


def schedule(
    store: Store,
    draft_id: int,
    at: datetime,
    *,
    actor: Actor,
    version: str = "",
    valid_from: date | None = None,
    corrects: str = "",
) -> DraftHead:
    """Have a draft published at an instant to come, by ``socle work``, as it was decided and not otherwise.

    :raises Invalid: if the instant is past, or with the problems found.
    :raises VotesMissing: if the committee has not approved exactly this content.
    :raises Conflict: if the draft is over, or another release came first.
    """
    place = f"draft {draft_id}"
    with refusing(store, actor, "release.publish", place):
        try:
            at = at.astimezone(UTC)
            fault = "instant passé" if at <= datetime.now(UTC) else ""
        except OverflowError:  # On the first or the last day that there is, which has no other one beside it.
            fault = "instant hors limites"
        if fault:
            accepted = "un instant à venir, ou aucun pour publier tout de suite"
            rules.refuse([Problem("schedule_is_sound", fault, (), "publishAt", at.isoformat(), accepted)])
        draft = _decided(store, draft_id, version, valid_from, corrects)
        if draft.state == "open":
            _approved(store, draft)
            drafts.submit(
                store,
                draft_id,
                version=draft.version,
                valid_from=draft.valid_from or date.min,
                corrects=draft.corrects,
                revision=draft.revision,
                actor=actor,
            )
            draft = _decided(store, draft_id, "", None, "")
        _approved(store, draft)
        with acting(store, actor, "release.publish", place) as act:
            head = store.draft_head(draft_id)
            if head.revision != draft.revision:
                raise Conflict(f"{place} was changed meanwhile")
            act.after = f"scheduled {signing.instant(at)}"
            changed = replace(head, state="scheduled", publish_at=at, scheduled_by=actor.person)
            return store.change_draft(head, changed)


def publish_due(store: Store, keys: Keys, now: datetime) -> list[tuple[int, Edition | None]]:
    """Publish every draft whose instant has come; say which drafts these were, with the release that came of each.

    One that can't be published any more as it was decided is approved again, without an instant, and whoever had set it
    is told why: its release is None. Should the keys or the disk fail, it is tried again the next time.

    :raises KeyRefused, Busy: from the first draft that could not be published for want of keys or room.
    """
    done: list[tuple[int, Edition | None]] = []
    for head in store.due_drafts(now):
        try:
            actor = actor_of(store, head.scheduled_by, door="work")
            edition = publish(store, head.id, keys, actor=actor)
        except (Conflict, Invalid, NotFound, Forbidden, Unauthenticated) as error:
            if _unscheduled(store, head, error):
                done.append((head.id, None))
        else:
            done.append((head.id, edition))
    return done


def _unscheduled(store: Store, before: DraftHead, error: Exception) -> bool:
    """Take back a publication that can't be; return whether it still stood, since another process may have done it."""
    with store.at_once():
        head = store.draft_head(before.id)
        if head.state != "scheduled" or head.revision != before.revision:
            return False
        store.change_draft(head, replace(head, state="approved", publish_at=None, scheduled_by=""))
        text = f"Le projet {head.id} n'a pas été publié à l'heure dite : {error}"
        store.add_notice(head.scheduled_by, f"draft {head.id}", text)
        store.add_journal_entry(
            "action", Actor(door="work"), "release.unschedule", f"draft {head.id}", after=type(error).__name__
        )
    return True


def withdraw(store: Store, slug: str, version: str, why: str, keys: Keys, *, actor: Actor) -> Edition:
    """Withdraw a faulty release: it stays readable and marked, is no longer in force, and everybody is told why.

    :raises NotFound: if there is no such release.
    :raises Conflict: if it is withdrawn already.
    :raises Invalid: if the reason is missing or refused.
    """
    with acting(store, actor, "release.withdraw", f"release {slug}@{version}") as act:
        store.edition(slug, version)
        if fault := rules.text_fault(why, limit=decisions.REASON_LENGTH, lines=True):
            rules.refuse([Problem("withdrawal_has_a_reason", fault, where="why", accepted="un motif, qui sera public")])
        act.before, act.after = "published", "withdrawn"
        return store.withdraw_release(slug, version, why, datetime.now(UTC).replace(microsecond=0), keys)


def _decided(store: Store, draft_id: int, version: str, valid_from: date | None, corrects: str) -> Draft:
    """A draft that may be published, with the version and first day that it is published under.

    :raises VotesMissing: if the committee has not approved it.
    :raises Conflict: if it is over, or was submitted with another version or day.
    :raises Invalid: if an open one is given no version or day.
    """
    if store.draft_head(draft_id).state == "submitted":
        with store.at_once():  # Time alone may have decided the vote.
            ballots.settled(store, store.draft_head(draft_id))
    draft = store.draft(draft_id)
    if draft.state in ("published", "withdrawn"):
        raise Conflict(f"draft {draft_id} is {draft.state}")
    if draft.state in ("submitted", "rejected"):
        raise VotesMissing(f"draft {draft_id} of {draft.nomenclature.slug} is {draft.state}")
    if draft.state == "open":
        _check_no_votes(store, draft)
        if not version or valid_from is None:
            missing = [name for name, given in (("version", version), ("validFrom", valid_from)) if not given]
            rules.refuse([Problem("version_is_deserved", "absent", where=name) for name in missing])
        return replace(draft, version=version, valid_from=valid_from, corrects=corrects)
    given = (version or draft.version, valid_from or draft.valid_from, corrects or draft.corrects)
    if given != (draft.version, draft.valid_from, draft.corrects):
        submitted = f"{draft.version} from {draft.valid_from}" + (f", {draft.corrects} mended" * bool(draft.corrects))
        raise Conflict(f"draft {draft_id} was submitted as {submitted}")
    return draft


def _approved(store: Store, draft: Draft) -> tuple[Release, Decision]:
    """The release that a draft becomes, and the decision that its manifest holds: never people, only organisations.

    :raises VotesMissing: if votes are asked for, and there are none on exactly this.
    :raises Conflict: if it is not what was submitted, or another release came first.
    :raises Invalid: with the problems found.
    """
    release = drafts.checked(store, draft)
    submission = drafts.submission_of(draft, release)
    if draft.submission and submission != draft.submission:
        raise Conflict(f"draft {draft.id}: {draft.submission} was submitted, and it is {submission} now")
    ballot = draft.ballot
    if ballot is None:
        _check_no_votes(store, draft)
        return release, draft.decision
    standing = ballots.ballot_standing(store, draft.id, ballot)
    if ballot.submission != submission or standing.verdict.outcome != "approved":
        raise VotesMissing(f"draft {draft.id}: {submission} is not approved")
    counted = counted_votes(ballot, standing.votes, standing.attendance)
    votes = tuple((organisation, vote.choice) for organisation, vote in sorted(counted.items()))
    return release, replace(draft.decision, votes=votes, submission=submission)


def _check_no_votes(store: Store, draft: Draft) -> None:
    if store.voting_rules(draft.nomenclature.slug) is not None:
        raise VotesMissing(f"draft {draft.id} of {draft.nomenclature.slug}")


def add_renditions(store: Store, slug: str, version: str, keys: Keys, *, actor: Actor) -> list[Rendition]:
    """Keep a release that is there in the formats that it lacks, since it came before them; return what was added.

    A log entry of its own names them: nothing that was signed changes, and nothing else that was ever kept.

    :raises NotFound: if there is no such release.
    :raises Damaged: if what the registry holds is not what the manifest of the release signs.
    :raises KeyRefused: before anything is written, if the keys can't sign.
    :raises Busy: if the disk lacks room.
    :raises Conflict: if somebody else was first.
    """
    place = f"release {slug}@{version}"
    with refusing(store, actor, "release.publish", place):
        missing = missing_formats(store, slug, version)
        if not missing:
            return []
        keys.seal(store.key_sets())
        release = store.release(slug, version)
        digest = hashlib.sha256()
        for line in signing.canonical_lines(release):
            digest.update(line)
        if digest.hexdigest() != store.edition(slug, version).content_sha256:
            raise Damaged(place)
        _check_room(store, release)
        files = _written(store, release, missing)
        with acting(store, actor, "release.publish", place) as act:
            issued = datetime.now(UTC).replace(microsecond=0)
            store.add_renditions(release, keys, files, issued=issued, file_name=file_name)
            act.after = "renditions " + " ".join(format.name for format in missing)
        return files


def missing_formats(store: Store, slug: str, version: str) -> list[Format]:
    """The offered formats that a release is not kept in.

    :raises NotFound: if there is no such release.
    """
    kept = {file.format for file in store.renditions(slug, version)}
    return [format for format in FORMATS.values() if format.name not in kept]


def write_files(store: Store, release: Release) -> list[Rendition]:
    """Write every offered format of a release and read each back; the canonical one comes first."""
    return _written(store, release, [CANONICAL, *(format for format in FORMATS.values() if format is not CANONICAL)])


def _written(store: Store, release: Release, formats: list[Format]) -> list[Rendition]:
    files = [Rendition(format.name, format.media_type, store.blobs.write(format.write(release))) for format in formats]
    for file in files:
        store.blobs.path(file.blob)
    return files


def _check_room(store: Store, release: Release) -> None:
    if store.blobs.free_bytes() < 3 * BYTES_A_CONCEPT * len(release.concepts):
        raise Busy("release files: not enough room on the disk")


def file_name(rendition: Rendition) -> str:
    """The name of a rendition in the log and in archives."""
    return f"nomenclature.{FORMATS[rendition.format].extension}"
