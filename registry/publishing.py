"""The only way in which a release comes to be: rules, canonical form, files on disk, then one transaction.

Files are written, synced and read back before the transaction that names them; that transaction is the publication.
Whatever fails before it leaves files that no release names, which are swept; nothing fails after it but the search
index, which is derived and rebuilt by itself.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from registry import drafts, rules, signing
from registry.errors import Busy, Conflict, VotesMissing
from registry.formats import FORMATS
from registry.model import Edition, Release
from registry.store import Store
from registry.store.releases import Rendition

CANONICAL = FORMATS["ntriples"]
BYTES_A_CONCEPT = 8_000
"""What a concept may take in all formats together; publishing asks for three times that before it begins."""


def publish(
    store: Store,
    draft_id: int,
    *,
    version: str,
    valid_from: date,
    issued: datetime | None = None,
    corrects: str = "",
) -> Edition:
    """Turn an open draft into a release that never changes again.

    ``issued`` is now unless a release of the past is loaded; ``corrects`` names the release that an erratum mends.

    :raises Invalid: with the problems found, warnings included unless the draft's decision accepts them.
    :raises VotesMissing: if the nomenclature asks for votes.
    :raises AlreadyPublished: if this version exists.
    :raises Conflict: if the draft is not open, or another release came first.
    :raises Busy: if the disk lacks room.
    """
    draft = store.draft(draft_id)
    slug = draft.nomenclature.slug
    if draft.state != "open":
        raise Conflict(f"draft {draft_id} is {draft.state}")
    if draft.nomenclature.votes:
        raise VotesMissing(f"draft {draft_id} of {slug}")
    base = drafts.base_of(store, draft)
    release = drafts.content_of(draft, base, version=version, valid_from=valid_from)
    corrected = store.release(slug, corrects) if corrects else None
    rules.refuse(rules.problems(release, base, decision=draft.decision, corrects=corrected))
    if store.blobs.free_bytes() < 3 * BYTES_A_CONCEPT * len(release.concepts):
        raise Busy("release files: not enough room on the disk")
    canonical, *others = write_files(store, release)
    return store.add_release(
        release,
        base=draft.base,
        corrects=corrects,
        issued=issued or datetime.now(UTC).replace(microsecond=0),
        decision=draft.decision,
        canonical=canonical,
        renditions=others,
        draft_id=draft_id,
        canonical_name=signing.CANONICAL_NAME,
        file_name=file_name,
    )


def write_files(store: Store, release: Release) -> list[Rendition]:
    """Write every offered format of a release and read each back; the canonical one comes first."""
    formats = [CANONICAL, *(format for format in FORMATS.values() if format is not CANONICAL)]
    files = [Rendition(format.name, format.media_type, store.blobs.write(format.write(release))) for format in formats]
    for file in files:
        store.blobs.path(file.blob)
    return files


def file_name(rendition: Rendition) -> str:
    """The name of a rendition in the log and in archives."""
    return f"nomenclature.{FORMATS[rendition.format].extension}"
