"""Our JSON: the one place where a concept becomes JSON, in SKOS's own words, and is read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import orjson

from registry.changes import Change, ChangeSet, link_shapes
from registry.errors import Invalid, Problem
from registry.model import (
    LINK_KINDS,
    TEXT_PROPERTIES,
    Concept,
    Content,
    Edition,
    Group,
    Link,
    LinkKind,
    Nomenclature,
    Release,
    Texts,
    texts,
)
from registry.sandbox import REQUEST_LIMITS, Limits
from registry.signing import instant

if TYPE_CHECKING:
    # They import Whoosh, which takes long; whoever has hits has loaded it already.
    from registry.access import Notice, Token
    from registry.candidates import Candidate
    from registry.crosswalks import Organisation
    from registry.search import Document, Hit, Why

LabelOf = Callable[[str], Texts]


def language_map(values: Texts) -> dict[str, list[str]]:
    """Texts as JSON: language → list of texts."""
    found: dict[str, list[str]] = {}
    for language, text in values:
        found.setdefault(language, []).append(text)
    return found


def reference(code: str, label_of: LabelOf) -> dict[str, Any]:
    """A concept named by another: its code and, since no code goes without one, its label in the same release."""
    return {"code": code, "prefLabel": dict(label_of(code))}


def concept_state(concept: Concept) -> dict[str, Any]:
    """A concept alone, as its release holds it: what is stored, compared and shown in change sets."""
    state: dict[str, Any] = {"code": concept.code, "status": concept.status}
    for item in TEXT_PROPERTIES:
        values = getattr(concept, item.name)
        # One preferred label a language, once the rules have passed: before, a draft must not lose the second.
        single = item.name == "pref_label" and len(dict(values)) == len(values)
        state[item.key] = dict(values) if single else language_map(values)
    state["broader"] = list(concept.broader)
    state["related"] = list(concept.related)
    state["legalBasis"] = list(concept.legal_basis)
    state["validFrom"] = concept.valid_from.isoformat() if concept.valid_from else None
    state["validUntil"] = concept.valid_until.isoformat() if concept.valid_until else None
    return state


def concept_document(
    concept: Concept,
    *,
    iri: str,
    slug: str,
    version: str,
    label_of: LabelOf,
    narrower: Iterable[str],
    links_from: Iterable[Link],
    links_to: Iterable[Link],
) -> dict[str, Any]:
    """A concept as clients see it: every code that it names stands beside its label in the same release.

    ``iri`` is the nomenclature's; links are those known to the release.
    """
    state = concept_state(concept)
    return {
        "code": concept.code,
        "iri": f"{iri}/{concept.code}",
        "nomenclature": slug,
        "release": version,
        **{key: value for key, value in state.items() if key not in ("code", "broader", "related")},
        "broader": [reference(code, label_of) for code in concept.broader],
        "narrower": [reference(code, label_of) for code in narrower],
        "related": [reference(code, label_of) for code in concept.related],
        "replacedBy": [_end(link.new, link, label_of) for link in links_from],
        "replaces": [_end(link.old, link, label_of) for link in links_to],
    }


def _end(code: str, link: Link, label_of: LabelOf) -> dict[str, Any]:
    return {**reference(code, label_of), "date": link.date.isoformat(), "kind": link.kind}


def link_document(link: Link, shape: str = "") -> dict[str, Any]:
    """A link as JSON; ``shape`` (replaced, split, merged, reshaped) is told where its event is known."""
    found = {"old": link.old, "new": link.new, "date": link.date.isoformat(), "kind": link.kind}
    return {**found, "shape": shape} if shape else found


def link_from(state: Mapping[str, Any]) -> Link:
    """A link from JSON as ``link_document`` writes it.

    :raises ValueError, TypeError, KeyError, AttributeError: if it is not of that shape.
    """
    return Link(_text(state["old"]), _text(state["new"]), date.fromisoformat(state["date"]), _kind(state))


def group_document(group: Group) -> dict[str, Any]:
    """A group of concepts as JSON."""
    return {"code": group.code, "prefLabel": dict(group.pref_label), "members": list(group.members)}


def group_from(state: Mapping[str, Any]) -> Group:
    """A group from JSON as ``group_document`` writes it.

    :raises ValueError, TypeError, KeyError, AttributeError: if it is not of that shape.
    """
    labels = texts((language, _text(text)) for language, text in state["prefLabel"].items())
    return Group(_text(state["code"]), labels, _codes(state["members"]))


def change_document(change: Change, shapes: Mapping[Link, str]) -> dict[str, Any]:
    """One entry of a change set: the code, what happened to it, its state before and after, its new links."""
    return {
        "code": change.code,
        "kinds": list(change.kinds),
        "compatibility": change.compatibility,
        "before": concept_state(change.before) if change.before else None,
        "after": concept_state(change.after) if change.after else None,
        "lineage": [link_document(link, shapes.get(link, "")) for link in change.lineage],
    }


def change_set_document(changes: ChangeSet) -> list[dict[str, Any]]:
    """The entries of a change set, by code."""
    shapes = link_shapes(changes.links_added)
    return [change_document(change, shapes) for change in changes.changes]


def edition_document(edition: Edition) -> dict[str, Any]:
    """A release as JSON, as it was published: nothing that is learnt later of it."""
    return {
        "nomenclature": edition.nomenclature,
        "version": edition.version,
        "validFrom": edition.valid_from.isoformat(),
        "issued": instant(edition.issued),
        "seq": edition.seq,
        "concepts": edition.concepts,
        "active": edition.concepts - edition.deprecated,
        "deprecated": edition.deprecated,
        "corrects": edition.corrects or None,
        "predecessor": edition.predecessor or None,
        "contentSha256": edition.content_sha256,
    }


def learnt_document(edition: Edition) -> dict[str, Any]:
    """What was learnt of a release since it was published, as JSON: whether it was withdrawn, and why."""
    return {
        "status": "withdrawn" if edition.withdrawn_at else "published",
        "withdrawnAt": instant(edition.withdrawn_at) if edition.withdrawn_at else None,
        "why": edition.withdrawn_why or None,
    }


def hit_document(hit: Hit, iri: str) -> dict[str, Any]:
    """A concept found, as JSON: in brief, its score and why it is there; ``iri`` is its nomenclature's."""
    return {**_found(hit.document, iri), "score": hit.score, "why": _why(hit.why)}


def candidate_document(candidate: Candidate, iri: str) -> dict[str, Any]:
    """A concept that a local label may mean, as JSON: a hit with its relation, and whether it is sure."""
    return {
        **_found(candidate.document, iri),
        "relation": candidate.relation,
        "score": candidate.score,
        "sure": candidate.sure,
        "why": _why(candidate.why),
    }


def _found(document: Document, iri: str) -> dict[str, Any]:
    return {
        "code": document.code,
        "iri": f"{iri}/{document.code}",
        "nomenclature": document.nomenclature,
        "release": document.version,
        "status": document.status,
        "prefLabel": {"fr": document.pref_label},
        "path": list(document.path),
    }


def _why(why: Why) -> dict[str, Any]:
    return {
        "kind": why.kind,
        "text": why.text,
        "correction": why.correction,
        "source": why.source,
        "highlights": [list(span) for span in why.highlights],
    }


def nomenclature_document(nomenclature: Nomenclature, *, current: str | None, latest: str | None) -> dict[str, Any]:
    """A nomenclature as JSON, with the versions of its release in force and of the one issued last."""
    return {**heading_document(nomenclature), "current": current, "latest": latest}


def heading_document(nomenclature: Nomenclature) -> dict[str, Any]:
    """A nomenclature alone as JSON, as one of its releases describes it."""
    return {
        "slug": nomenclature.slug,
        "iri": nomenclature.iri,
        "title": language_map(nomenclature.title),
        "description": language_map(nomenclature.description),
        "publisher": nomenclature.publisher,
        "license": nomenclature.license,
        "attribution": nomenclature.attribution,
        "codePattern": nomenclature.code_pattern,
        "levelTitles": list(nomenclature.level_titles),
        "generic": nomenclature.generic,
    }


def heading_from(found: Mapping[str, Any]) -> Nomenclature:
    """A nomenclature from JSON as ``heading_document`` writes it.

    :raises ValueError, TypeError, KeyError, AttributeError: if it is not of that shape.
    """
    titles, descriptions = (
        texts((language, _text(text)) for language, values in found[key].items() for text in values)
        for key in ("title", "description")
    )
    return Nomenclature(
        slug=_text(found["slug"]),
        iri=_text(found["iri"]),
        title=titles,
        description=descriptions,
        publisher=_text(found["publisher"]),
        license=_text(found["license"]),
        attribution=_text(found["attribution"]),
        code_pattern=_text(found["codePattern"]),
        level_titles=tuple(_text(title) for title in found["levelTitles"]),
        generic=bool(found["generic"]),
    )


def write(release: Release) -> Iterator[bytes]:
    """A whole release as one JSON object: heading, concepts by code, lineage, groups (UTF-8, one concept a line)."""
    nomenclature = release.nomenclature
    heading = {
        "nomenclature": nomenclature.slug,
        "iri": nomenclature.iri,
        "release": release.version,
        "validFrom": release.valid_from.isoformat(),
        "title": language_map(nomenclature.title),
        "description": language_map(nomenclature.description),
        "publisher": nomenclature.publisher,
        "license": nomenclature.license,
        "attribution": nomenclature.attribution,
    }
    links_to: dict[str, list[Link]] = {}
    for link in sorted(release.links):
        links_to.setdefault(link.new, []).append(link)
    yield orjson.dumps(heading)[:-1] + b',"concepts":['
    separator = b"\n"
    for code in sorted(release.concepts):
        shown = concept_document(
            release.concepts[code],
            iri=nomenclature.iri,
            slug=nomenclature.slug,
            version=release.version,
            # A draft may name a code that it lacks; the rules say so, and it must be had in a file all the same.
            label_of=lambda other: release.concepts[other].pref_label if other in release.concepts else (),
            narrower=release.narrower.get(code, ()),
            links_from=release.links_from.get(code, ()),
            links_to=links_to.get(code, ()),
        )
        yield separator + orjson.dumps(shown)
        separator = b",\n"
    lineage = [link_document(link) for link in sorted(release.links)]
    groups = [group_document(group) for group in release.groups]
    yield b'],\n"lineage":' + orjson.dumps(lineage) + b',\n"groups":' + orjson.dumps(groups) + b"}\n"


def concept_from(state: Mapping[str, Any]) -> Concept:
    """A concept from JSON as ``concept_state`` or ``concept_document`` writes it.

    :raises ValueError, TypeError, KeyError, AttributeError: if it is not of that shape.
    """
    values: dict[str, Any] = {}
    for item in TEXT_PROPERTIES:
        # Most properties are empty in most concepts, and a release has a hundred thousand of these.
        languages = state.get(item.key)
        if not languages:
            values[item.name] = ()
            continue
        pairs: list[tuple[str, str]] = []
        for language, found in languages.items():
            pairs.extend((language, _text(text)) for text in ([found] if isinstance(found, str) else found))
        values[item.name] = texts(pairs)
    if state.get("status", "active") not in ("active", "deprecated"):
        raise ValueError(state["status"])
    return Concept(
        code=_text(state["code"]),
        status=state.get("status", "active"),
        broader=_codes(state.get("broader")),
        related=_codes(state.get("related")),
        legal_basis=tuple(sorted({_text(text) for text in state.get("legalBasis") or ()})),
        valid_from=_day(state.get("validFrom")),
        valid_until=_day(state.get("validUntil")),
        **values,
    )


def read(data: bytes, nomenclature: Nomenclature, limits: Limits = REQUEST_LIMITS) -> Content:
    """A state from our own JSON, as ``write`` gives it; ``sameMeaning`` may list codes beside ``concepts``.

    :raises Invalid: with the place of each thing that is not as it must be.
    :raises TooLarge: beyond the limits.
    """
    limits.check(data)
    try:
        found = orjson.loads(data)
        concepts_found, lineage, groups = found["concepts"], found.get("lineage") or [], found.get("groups") or []
        same = tuple(_text(code) for code in found.get("sameMeaning") or ())
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(
            [Problem("json_is_readable", f"JSON illisible : {error}", accepted='un objet avec "concepts"')]
        ) from error
    problems: list[Problem] = []
    concepts: dict[str, Concept] = {}
    for place, state in _numbered(concepts_found, "/concepts", problems):
        try:
            concept = concept_from(state)
            if concept.code in concepts:
                raise ValueError(f"code répété {concept.code}")
            concepts[concept.code] = concept
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(_refused(place, "concept mal formé", error))
    links: set[Link] = set()
    for place, state in _numbered(lineage, "/lineage", problems):
        try:
            links.add(link_from(state))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(_refused(place, "filiation mal formée", error))
    members: list[Group] = []
    for place, state in _numbered(groups, "/groups", problems):
        try:
            members.append(group_from(state))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            problems.append(_refused(place, "groupe mal formé", error))
    if problems:
        raise Invalid(problems[:100], len(problems))
    return Content(
        dict(sorted(concepts.items())),
        frozenset(links),
        tuple(sorted(members, key=lambda group: group.code)),
        same,
    )


def _numbered(values: Any, pointer: str, problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    if not isinstance(values, list):
        problems.append(Problem("json_is_readable", "liste attendue", where=pointer, accepted="une liste"))
        return
    for number, value in enumerate(values):
        yield f"{pointer}/{number}", value


def _refused(place: str, message: str, error: Exception) -> Problem:
    return Problem(
        "json_is_readable",
        message,
        where=place,
        value=f"{type(error).__name__} {error}",
        accepted="la forme exportée",
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(repr(value)[:80])
    return value


def _codes(values: Any) -> tuple[str, ...]:
    return tuple(sorted({_text(value["code"] if isinstance(value, dict) else value) for value in values or ()}))


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if value else None


def _kind(state: Mapping[str, Any]) -> LinkKind:
    kind: LinkKind = state["kind"]
    if kind not in LINK_KINDS:
        raise ValueError(kind)
    return kind


def notice_document(notice: Notice) -> dict[str, Any]:
    """Something that a person was told, its instant in UTC."""
    return {"id": notice.id, "at": instant(notice.at), "object": notice.object, "text": notice.text}


def token_document(token: Token) -> dict[str, Any]:
    """An API token as its owner sees it: everything but the secret; instants are UTC."""
    return {
        "id": token.id,
        "person": token.person,
        "organisation": token.organisation,
        "roles": list(token.roles),
        "label": token.label,
        "created": instant(token.created),
        "expires": token.expires.isoformat(),
        "revoked": instant(token.revoked) if token.revoked else None,
        "lastUsed": instant(token.last_used) if token.last_used else None,
    }


def organisation_document(found: Organisation) -> dict[str, Any]:
    """An organisation as everybody sees it."""
    return {
        "slug": found.slug,
        "name": found.name,
        "kind": found.kind,
        "insee": found.insee,
        "siret": found.siret,
        "college": found.college,
        "demonstration": found.demonstration,
    }
