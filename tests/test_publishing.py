"""Publishing: everything or nothing, once, and the same bytes on both databases."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import event

from registry import archive, doctor, drafts, publishing, signing, verification
from registry.access import ANYONE
from registry.errors import AlreadyPublished, Busy, Conflict, Invalid, NotFound, Unauthenticated, VotesMissing
from registry.formats import FORMATS
from registry.model import Acceptance, Content, Decision, Group, VotingRules, french, texts
from registry.store import Store
from tests.factories import A_DAY, AN_INSTANT, a_concept, a_draft, a_release, keys_of, published, the_operator
from tests.test_signing import GOLDEN_RELEASE

RELEASE = a_release()
_A1, _B = GOLDEN_RELEASE.concepts["A-1"], GOLDEN_RELEASE.concepts["B"]
# All that the canonical form holds but what the rules refuse: a definition is missing, a deprecated concept is related.
RICH_RELEASE = GOLDEN_RELEASE.with_heading(
    concepts={
        **GOLDEN_RELEASE.concepts,
        "A-1": replace(_A1, related=()),
        "B": replace(_B, related=(), definition=french("Un secours.")),
    }
)


def publish(store: Store, draft: int, version: str = "1.0") -> None:
    publishing.publish(store, draft, keys_of(store), version=version, valid_from=A_DAY, issued=AN_INSTANT)


def nothing_is_published(store: Store) -> bool:
    return store.editions("aides") == [] and store.log_entries() == [] and store.named_files() == set()


def test_the_same_content_has_the_same_log_and_files_on_both_databases(
    sqlite_url: str, postgres_url: str, tmp_path: Path
) -> None:
    found = []

    for url in (sqlite_url, postgres_url):
        store = Store(url, tmp_path / url.partition(":")[0])
        published(store, RICH_RELEASE)
        published(store, RICH_RELEASE.with_heading(version="1.1", valid_from=date(2025, 1, 1)))
        found.append((store.log_entries(), [store.renditions("aides", version) for version in ("1.0", "1.1")]))
        store.close()

    assert found[0] == found[1]


def test_a_release_is_kept_in_every_format_with_the_hashes_of_its_log_entries(store: Store) -> None:
    edition = published(store, RICH_RELEASE)

    for format in FORMATS.values():
        rendition, path = store.rendition("aides", "1.0", format.name)
        assert path.read_bytes() == b"".join(format.write(RICH_RELEASE))
        assert signing.sha256(path.read_bytes()) == rendition.blob.sha256
        assert any(rendition.blob.sha256.encode() in entry for entry in store.log_entries())
    assert edition.content_sha256 == signing.sha256(b"".join(signing.canonical_lines(RICH_RELEASE)))
    assert signing.check_chain(store.log_entries()) == 2
    assert store.manifest("aides", "1.0") == store.log_entries()[0]


def test_a_release_gets_the_formats_that_came_after_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        # What a Socle that did not know them would have published.
        known = {name: format for name, format in FORMATS.items() if name not in ("fhir", "jskos")}
        older.setattr(publishing, "FORMATS", known)
        published(store, RICH_RELEASE)
    before = store.log_entries()
    told = [one.message for one in doctor.stored(store) if "fichiers" in one.object]

    with pytest.raises(Unauthenticated):
        publishing.add_renditions(store, "aides", "1.0", keys_of(store), actor=ANYONE)
    added = publishing.add_renditions(store, "aides", "1.0", keys_of(store), actor=the_operator(store))
    again = publishing.add_renditions(store, "aides", "1.0", keys_of(store), actor=the_operator(store))

    assert told == ["14 fichiers, conformes au journal; formats plus récents qu'elle : fhir, jskos (socle renditions)"]
    assert ([file.format for file in added], again) == (["fhir", "jskos"], [])
    assert store.rendition("aides", "1.0", "fhir")[1].read_bytes() == b"".join(FORMATS["fhir"].write(RICH_RELEASE))
    assert store.log_entries()[:-1] == before
    assert orjson.loads(store.log_entries()[-1])["type"] == "renditions"
    assert [one for one in doctor.stored(store) if one.state != "ok"] == []
    with (tmp_path / "release.zip").open("w+b") as file:
        archive.write(store, "aides", "1.0", file)
    assert verification.verify_archive(tmp_path / "release.zip").release.endswith("aides@1.0")
    with zipfile.ZipFile(tmp_path / "release.zip") as members:
        assert "nomenclature.fhir.json" in members.namelist()
    assert orjson.loads(list(store.journal_entries(0))[-1])["operation"] == "release.publish"


def test_a_draft_is_published_once(store: Store) -> None:
    draft = a_draft(store, RELEASE)
    publish(store, draft)

    with pytest.raises(Conflict, match="published"):
        publish(store, draft, "1.1")

    assert [edition.version for edition in store.editions("aides")] == ["1.0"]


def test_a_version_is_published_once(store: Store) -> None:
    first, second = a_draft(store, RELEASE), a_draft(store, RELEASE)
    publish(store, first)

    with pytest.raises(AlreadyPublished):
        publish(store, second)


def test_a_draft_whose_base_is_no_longer_the_last_release_is_refused(store: Store) -> None:
    published(store, RELEASE)
    early = a_draft(store, RELEASE)
    published(store, RELEASE.with_heading(version="1.1"))

    with pytest.raises(Conflict, match=r"1\.1"):
        publish(store, early, "1.2")


def test_nothing_is_written_when_rules_refuse(store: Store, tmp_path: Path) -> None:
    draft = a_draft(store, a_release(a_concept(broader=("Z",))))

    with pytest.raises(Invalid) as caught:
        publish(store, draft)

    assert [problem.rule for problem in caught.value.problems] == ["references_exist"]
    assert nothing_is_published(store)
    assert not list((tmp_path / "blobs").rglob("*"))
    assert store.draft(draft).state == "open"


def test_a_warning_stops_publication_until_it_is_accepted_in_writing(store: Store) -> None:
    release = a_release(a_concept(definition=()))
    accepted = Decision("Essai.", (), (Acceptance("concept_has_a_definition_or_scope_note", "La source n'en a pas."),))

    with pytest.raises(Invalid):
        published(store, release)
    published(store, release, decision=accepted)

    assert store.decision("aides", "1.0") == accepted


def test_a_nomenclature_that_votes_is_not_published_without_votes(store: Store) -> None:
    draft = a_draft(store, RELEASE)
    store.set_voting_rules("aides", VotingRules(("dep-71",)))

    with pytest.raises(VotesMissing):
        publish(store, draft)


def test_two_preferred_labels_in_a_draft_are_refused_and_none_is_lost(store: Store) -> None:
    draft = a_draft(store, a_release(a_concept(pref_label=texts([("fr", "Aide"), ("fr", "Soutien")]))))

    found = drafts.problems(store, draft)

    assert [problem.rule for problem in found] == ["one_preferred_label_per_language"]


def test_a_draft_from_a_table_keeps_lineage_and_the_labels_of_groups(store: Store) -> None:
    published(store, RICH_RELEASE)
    content = Content(RICH_RELEASE.concepts, None, (Group("G", (), ("A",)),))

    draft = store.draft(drafts.from_content(store, "aides", content))

    assert draft.links == RICH_RELEASE.links
    assert draft.groups == (Group("G", french("Groupe"), ("A",)),)
    assert draft.concepts == {}


def test_a_draft_of_an_unknown_nomenclature_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        drafts.from_content(store, "inconnue", Content({}))


# Faults.


class Fault(RuntimeError):
    """What the tests let happen in the middle of a transaction."""


@contextmanager
def failing_statement(store: Store, number: int) -> Iterator[list[str]]:
    """Let the ``number``-th statement that writes fail; gives the statements seen."""
    seen: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE")):
            seen.append(statement)
            if len(seen) == number:
                raise Fault(statement)

    event.listen(store.database.engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(store.database.engine, "before_cursor_execute", count)


@pytest.mark.faults
def test_a_transaction_that_fails_anywhere_leaves_nothing_and_a_retry_succeeds(store: Store) -> None:
    draft = a_draft(store, RICH_RELEASE)
    failures = 0

    for number in range(1, 100):
        with failing_statement(store, number) as seen:
            try:
                publish(store, draft)
            except Fault:
                failures += 1
                assert nothing_is_published(store)
                assert store.draft(draft).state == "open"
            else:
                break

    assert failures == len(seen) > 5
    assert store.release("aides", "1.0") == RICH_RELEASE
    assert signing.check_chain(store.log_entries()) == 2


@pytest.mark.faults
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_that_can_not_be_written_leaves_nothing_and_a_retry_succeeds(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    draft = a_draft(store, RELEASE)
    keys_of(store)  # Made before anything fails.
    target, real = ("os.fsync", os.fsync) if call == "fsync" else ("pathlib.Path.replace", Path.replace)
    failures = 0

    for number in range(1, 200):
        calls = 0

        def failing(*arguments: Any, number: int = number) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(5, "Input/output error")
            return real(*arguments)

        shutil.rmtree(tmp_path / "blobs", ignore_errors=True)
        with monkeypatch.context() as patch:
            patch.setattr(target, failing)
            try:
                publish(store, draft)
            except Busy:
                failures += 1
                assert nothing_is_published(store)
                assert not list((tmp_path / "blobs" / "tmp").iterdir())
                continue
        break

    assert failures >= len(FORMATS)
    assert store.release("aides", "1.0") == RELEASE
    assert store.rendition("aides", "1.0", "ntriples")[1].is_file()


def test_files_that_no_release_names_are_swept_and_the_others_stay(store: Store) -> None:
    published(store, RELEASE)
    named = store.named_files()

    swept = store.blobs.sweep(named)

    assert swept == 0
    assert all(store.rendition("aides", "1.0", format)[1].is_file() for format in FORMATS)
