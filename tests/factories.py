"""Small valid things to test with, and the generated ones: each test says only what it is about."""

from __future__ import annotations

import os
import unicodedata
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from registry import access, drafts, keys, publishing
from registry.access import Actor, Role
from registry.crosswalks import CodeList, Organisation
from registry.errors import AlreadyPublished, Conflict
from registry.keys import Keys
from registry.model import (
    LINK_KINDS,
    TEXT_PROPERTIES,
    Concept,
    Content,
    Decision,
    Edition,
    Group,
    Link,
    Nomenclature,
    Release,
    Status,
    Texts,
    french,
    texts,
)
from registry.rules import text_fault
from registry.store import Store
from tests.remembered import filled

A_DAY = date(2024, 1, 1)
AN_INSTANT = datetime(2024, 1, 1, tzinfo=UTC)

_FEW = 20
"""More concepts than that are not what many tests begin with."""

CODES = ("A", "B", "C", "D", "007", "00.7-x_Y")


def examples(count: int) -> int:
    """How many examples a property test tries: a quarter of ``count``, or twenty times it with SOCLE_FUZZ=full."""
    return count * 20 if os.environ.get("SOCLE_FUZZ") == "full" else max(2, count // 4)


def a_nomenclature(**changes: Any) -> Nomenclature:
    """A nomenclature that passes the rules, but for what is given."""
    given: dict[str, Any] = {
        "slug": "aides",
        "iri": "https://socle.example/aides",
        "title": french("Aides"),
        "description": french("Aides des services sociaux."),
        "publisher": "https://socle.example/organisations/comite",
        "license": "https://www.etalab.gouv.fr/licence-ouverte-open-licence",
    }
    return Nomenclature(**given | changes)


def a_concept(code: str = "A", **changes: Any) -> Concept:
    """An active concept with a label and a definition of its own, but for what is given."""
    given: dict[str, Any] = {"pref_label": french(f"Aide {code}"), "definition": french(f"Ce que {code} désigne.")}
    return Concept(code, **given | changes)


def a_deprecated_concept(code: str = "A", **changes: Any) -> Concept:
    """A concept that is no longer used, with the reason why nothing succeeds it."""
    given: dict[str, Any] = {"status": "deprecated", "history_note": french("Supprimé sans successeur.")}
    return a_concept(code, **given | changes)


def a_release(*concepts: Concept, **changes: Any) -> Release:
    """Release 1.0 of ``a_nomenclature`` with the concepts given (none: the concepts A and B)."""
    found = concepts or (a_concept("A"), a_concept("B"))
    given: dict[str, Any] = {
        "nomenclature": a_nomenclature(),
        "version": "1.0",
        "valid_from": A_DAY,
        "concepts": {concept.code: concept for concept in found},
    }
    return Release(**given | changes)


def a_link(old: str = "A", new: str = "B", **changes: Any) -> Link:
    """A link from one code to another, wider one."""
    given: dict[str, Any] = {"date": A_DAY, "kind": "wider"}
    return Link(old, new, **given | changes)


def an_organisation(**changes: Any) -> Organisation:
    """A département."""
    given: dict[str, Any] = {"slug": "dep-71", "name": "Saône-et-Loire", "kind": "departement"}
    return Organisation(**given | changes)


def a_code_list(**changes: Any) -> CodeList:
    """A local code list of ``an_organisation``."""
    given: dict[str, Any] = {"organisation": "dep-71", "slug": "solis", "title": "Codes du logiciel"}
    return CodeList(**given | changes)


def the_operator(store: Store) -> Actor:
    """The first administrator, who acts on the registry's own machine."""
    person, _ = access.first_administrator(store)
    return access.actor_of(store, person.id, door="terminal")


def a_member(store: Store, *roles: Role, organisation: str = "dep-71") -> Actor:
    """A new person with roles in an organisation, made if it is new: a département unless it is the committee."""
    operator = the_operator(store)
    with suppress(Conflict):
        access.create_organisation(store, an_organisation(slug=organisation), actor=operator)
    person = access.create_person(store, "Camille Essai", actor=operator)
    for role in roles:
        access.join(store, person.id, organisation, role, actor=operator)
    return access.actor_of(store, person.id, door="session")


def with_the_schema_of_before(store: Store) -> None:
    """Take a registry back to migration 0004, after which there were three things more."""
    with store.database.writing() as connection:
        for statement in (
            "ALTER TABLE token DROP COLUMN made_by",
            "DROP TABLE reach",
            "DROP TABLE target",
            "UPDATE alembic_version SET version_num = '0004'",
        ):
            connection.exec_driver_sql(statement)


def a_token(store: Store, actor: Actor, *, days: int = 30) -> str:
    """A token of a person of one organisation, in all of their roles."""
    [(organisation, roles)] = {slug: actor.roles for slug, _ in actor.memberships}.items()
    _, text = access.create_token(
        store, actor.person, organisation, sorted(roles), days=days, actor=the_operator(store)
    )
    return text


def bearer(token: str, **others: str) -> dict[str, str]:
    """The headers of a request by a token."""
    return {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in others.items()}}


def a_draft(store: Store, release: Release, *, decision: Decision | None = None) -> int:
    """Keep a draft of what the release holds, on the last release that there is; return its number."""
    nomenclature = release.nomenclature
    with suppress(AlreadyPublished):  # Its first release came before.
        store.add_nomenclature(nomenclature)
    content = Content(release.concepts, release.links, release.groups, nomenclature=nomenclature)
    return drafts.from_content(store, nomenclature.slug, content, decision=decision or Decision("Essai."))


def keys_of(store: Store) -> Keys:
    """The keys of a registry, in its data folder, where its settings name them; made if it has none."""
    folder = store.blobs.folder.with_name("keys")
    return Keys.opened(folder) if folder.exists() else keys.generate(folder, "https://socle.example/")


def published(
    store: Store,
    release: Release,
    *,
    corrects: str = "",
    issued: datetime = AN_INSTANT,
    decision: Decision | None = None,
) -> Edition:
    """Publish a release by the path that users take; every instant is the same unless it is given."""

    def publish() -> Edition:
        return publishing.publish(
            store,
            a_draft(store, release, decision=decision),
            keys_of(store),
            version=release.version,
            valid_from=release.valid_from,
            issued=issued,
            corrects=corrects,
        )

    if len(release.concepts) > _FEW:
        return publish()
    return filled(store, repr((release, corrects, issued, decision, list(vars(publishing)["FORMATS"]))), publish)


def texts_without_faults(*, lines: bool = False) -> st.SearchStrategy[str]:
    """Texts that the text gate lets pass, rich in what formats escape."""
    plain = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
    special = st.sampled_from("|\\\"'=+-@,;&<>%#{}é\u0153\u00a0\U0001f600" + ("\n\t" if lines else ""))
    return (
        st.lists(st.one_of(plain, special), min_size=1, max_size=12)
        .map(lambda found: unicodedata.normalize("NFC", "".join(found)).strip())
        .filter(lambda text: not text_fault(text, limit=500, lines=lines))
    )


_LABELS = texts_without_faults()
_NOTES = texts_without_faults(lines=True)
_WORDS = st.sampled_from(("un", "deux", "trois"))
_LANGUAGES = st.sampled_from(("fr", "en", "en-gb"))
_DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@st.composite
def releases(draw: st.DrawFn, *, few_words: bool = False, min_concepts: int = 0) -> Release:
    """Releases of a few concepts; with ``few_words`` two of them often have concepts in common."""
    labels, notes = (_WORDS, _WORDS) if few_words else (_LABELS, _NOTES)
    codes = draw(st.lists(st.sampled_from(CODES), unique=True, min_size=min_concepts, max_size=len(CODES)))
    broader = {
        code: draw(st.sets(st.sampled_from(codes[:place]))) if place else set() for place, code in enumerate(codes)
    }
    related: dict[str, set[str]] = {code: set() for code in codes}
    for place, code in enumerate(codes):
        for other in draw(st.sets(st.sampled_from(codes[:place]), max_size=1)) if place else ():
            if other not in broader[code]:
                related[code].add(other)
                related[other].add(code)
    concepts = {
        code: draw(_concepts(code, broader[code], related[code], labels=labels, notes=notes)) for code in sorted(codes)
    }
    links: frozenset[Link] = frozenset()
    groups: tuple[Group, ...] = ()
    if codes:
        some_code = st.sampled_from(codes)
        made = draw(
            st.lists(
                st.builds(
                    Link, some_code, some_code, st.sampled_from((A_DAY, date(2025, 2, 28))), st.sampled_from(LINK_KINDS)
                ),
                unique_by=lambda link: (link.old, link.new, link.date),
                max_size=4,
            )
        )
        links = frozenset(made)
        groups = tuple(
            Group(code, texts([("fr", draw(labels))]), tuple(sorted(draw(st.sets(some_code, min_size=1)))))
            for code in sorted(draw(st.sets(st.sampled_from(("G1", "G2")))))
        )
    version = draw(st.sampled_from(("1.0", "1.1", "2.0")))
    return Release(a_nomenclature(), version, draw(_DAYS), concepts, links, groups)


@st.composite
def _concepts(
    draw: st.DrawFn,
    code: str,
    broader: set[str],
    related: set[str],
    *,
    labels: st.SearchStrategy[str],
    notes: st.SearchStrategy[str],
) -> Concept:
    values: dict[str, Texts] = {}
    taken: set[tuple[str, str]] = set()
    for item in TEXT_PROPERTIES:
        if item.name == "pref_label":
            pairs = texts(draw(st.dictionaries(_LANGUAGES, labels, min_size=1, max_size=2)).items())
        else:
            text = labels if item.key.endswith("Label") else notes
            pairs = texts(draw(st.lists(st.tuples(_LANGUAGES, text), max_size=2)))
        if item.key.endswith("Label"):
            pairs = tuple(pair for pair in pairs if pair not in taken)
            taken.update(pairs)
        values[item.name] = pairs
    status: Status = draw(st.sampled_from(("active", "deprecated")))
    return Concept(
        code,
        status=status,
        broader=tuple(sorted(broader)),
        related=tuple(sorted(related)),
        legal_basis=tuple(sorted(draw(st.sets(labels, max_size=2)))),
        valid_from=draw(st.none() | _DAYS),
        valid_until=draw(st.none() | _DAYS),
        **values,
    )
