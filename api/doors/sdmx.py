"""SDMX REST 2: the codelists that statisticians' tools ask for, in SDMX-ML 3.0 and 2.1 and in SDMX-JSON.

``/sdmx/v2/structure/codelist/AGENCY/ID/VERSION``: a nomenclature is a codelist of the agency ``SOCLE``, a release a
version of it. ``*`` asks for all, ``~``, ``+`` and ``latest`` for the last release that was issued; commas list
several. Errors are messages as SDMX has them, with its codes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import orjson
from flask import Blueprint, Response, abort, request

from api import current, negotiation
from api.caching import answer
from api.doors.renditions import written
from registry.errors import NotFound, TooLarge
from registry.formats import FORMATS
from registry.formats.markup import HEADING, escaped
from registry.formats.sdmx import AGENCY, ML30, codelist_id
from registry.model import Edition, Version
from registry.store import Store

blueprint = Blueprint("sdmx", __name__, url_prefix="/sdmx/v2")

MOST_CODES = 200_000
"""How many codes one answer may hold."""

_STRUCTURE = "application/vnd.sdmx.structure"
_OFFERED = {
    **{FORMATS[name].media_type: name for name in ("sdmx-ml", "sdmx-ml21", "sdmx-json")},
    f"{_STRUCTURE}+xml;version=3.0": "sdmx-ml",
    f"{_STRUCTURE}+xml": "sdmx-ml",
    "application/xml": "sdmx-ml",
    "text/xml": "sdmx-ml",
    f"{_STRUCTURE}+json": "sdmx-json",
    "application/json": "sdmx-json",
}
"""Format by media type, of those that clients name."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9_@$.-]{1,128}")
_STUBS = ("allstubs", "allcompletestubs")
_DETAILS = ("full", "raw", "referencestubs", "referencecompletestubs", "referencepartial", *_STUBS)
_LATEST = ("~", "+", "latest")
_LONGEST_LIST = 100

_CODES = {400: 140, 401: 110, 404: 100, 406: 140, 413: 130, 414: 140, 422: 140, 501: 501, 503: 503}
"""What SDMX calls an error, by status; whatever else is wrong with a request is its syntax, and with us, 500."""


def error(problem: Response) -> Response:
    """A problem as an SDMX message."""
    found = orjson.loads(problem.get_data())
    status = problem.status_code
    code = _CODES.get(status, 500 if status >= 500 else 140)
    title, detail = found["title"], found.get("detail") or found["title"]
    accepted = negotiation.accepted()
    if accepted.best_match(["application/xml", "application/json"]) == "application/json" or any(
        "+json" in kind for kind, _ in accepted
    ):
        body = {"errors": [{"code": code, "title": title, "detail": detail}]}
        return Response(orjson.dumps(body), mimetype="application/json")
    message = (
        f'{HEADING}<mes:Error xmlns:mes="{ML30}message" xmlns:com="{ML30}common">\n'
        f'  <mes:ErrorMessage code="{code}"><com:Text xml:lang="en">{escaped(detail)}</com:Text></mes:ErrorMessage>\n'
        "</mes:Error>\n"
    )
    return Response(message.encode(), mimetype="application/xml")


@blueprint.get("/structure/<any(codelist, '*'):kind>")
@blueprint.get("/structure/<any(codelist, '*'):kind>/<agency>")
@blueprint.get("/structure/<any(codelist, '*'):kind>/<agency>/<names>")
@blueprint.get("/structure/<any(codelist, '*'):kind>/<agency>/<names>/<versions>")
def codelists(kind: str, agency: str = "*", names: str = "*", versions: str = "~") -> Response:
    """Give the codelists that are asked for, in one message."""
    detail = request.args.get("detail", "full")
    if detail not in _DETAILS:
        abort(400, f"detail: accepted are {', '.join(_DETAILS)}")
    if not _IDENTIFIER.fullmatch(request.args.get("references", "none")):
        abort(400, "references: accepted are the standard's words, such as none")
    kinds = {kind: kind for kind in _OFFERED}
    given = request.args.get("format")
    if given is not None and given not in _OFFERED.values():
        abort(400, f"format: accepted are {', '.join(dict.fromkeys(_OFFERED.values()))}")
    media_type = FORMATS[given].media_type if given else negotiation.chosen_name(kinds, None)
    asked = _Asked.read(agency, names, versions)
    editions = asked.editions(current.store())
    if not editions:
        raise NotFound("codelist", f"{agency}:{names}({versions})"[:300])
    stubs = detail in _STUBS
    if not stubs and sum(edition.concepts for edition in editions) > MOST_CODES:
        raise TooLarge(f"at most {MOST_CODES} codes in one answer: ask for fewer codelists, or for detail=allstubs")
    format = _OFFERED[media_type]
    messages = [_stub(edition, format) if stubs else written(edition, format) for edition in editions]
    return answer(
        messages[0] if len(messages) == 1 else _together(messages, format),
        media_type=media_type,
        pinned=asked.pinned,
        modified=max(edition.issued for edition in editions),
    )


@blueprint.get("/structure/<kind>", defaults={"rest": ""})
@blueprint.get("/structure/<kind>/<path:rest>")
@blueprint.get("/<any(availability, data, metadata, registration, schema):kind>/<path:rest>")
def others(kind: str, rest: str) -> Response:
    """Say that a registry of nomenclatures has codelists, and nothing else of SDMX."""
    abort(501, "this service has codelists only: /sdmx/v2/structure/codelist/{agency}/{id}/{version}")


class _Asked(NamedTuple):
    """Which codelists are asked for: agencies and identifiers (none: all), and versions."""

    agencies: tuple[str, ...]
    names: tuple[str, ...]
    versions: tuple[str, ...]

    @classmethod
    def read(cls, agency: str, names: str, versions: str) -> _Asked:
        """What a path says."""
        lists = [text.split(",") for text in (agency, names, versions)]
        for found, kind in zip(lists, ("agency", "id", "version"), strict=True):
            if len(found) > _LONGEST_LIST or not all(
                text in ("*", *(_LATEST if kind == "version" else ())) or _IDENTIFIER.fullmatch(text) for text in found
            ):
                abort(400, f"{kind}: accepted are an identifier, several with commas between, or *")
        agencies, identifiers = (() if "*" in found else tuple(found) for found in lists[:2])
        return cls(agencies, identifiers, tuple(lists[2]))

    @property
    def pinned(self) -> bool:
        """Whether the path names what it asks for, so that the answer never changes."""
        return len(self.names) == len(self.versions) == 1 and self.versions[0] not in ("*", *_LATEST)

    def editions(self, store: Store) -> list[Edition]:
        """The releases asked for, by nomenclature and number."""
        if self.agencies and AGENCY not in self.agencies:
            return []
        found = []
        for nomenclature in store.nomenclatures():
            if self.names and codelist_id(nomenclature.slug) not in self.names:
                continue
            editions = store.editions(nomenclature.slug)
            standing = [edition for edition in editions if edition.withdrawn_at is None]
            last = max(standing, key=lambda edition: Version(edition.version), default=None)
            found += [
                edition
                for edition in editions
                if edition.version in self.versions
                or f"{edition.version}.0" in self.versions
                or ("*" in self.versions and edition in standing)
                or (edition is last and not {*_LATEST}.isdisjoint(self.versions))
            ]
        return found


def _stub(edition: Edition, format: str) -> bytes:
    """A codelist without its codes."""
    release = replace(current.store().release(edition.nomenclature, edition.version), concepts={}, links=frozenset())
    return b"".join(FORMATS[format].write(release))


_FIRST, _LAST = b"<str:Codelist ", b"</str:Codelist>\n"


def _together(messages: list[bytes], format: str) -> bytes:
    """One message with the codelists of several, each of which our own writer made."""
    if format == "sdmx-json":
        documents = [orjson.loads(message) for message in messages]
        lists = [codelist for document in documents for codelist in document["data"]["codelists"]]
        languages = sorted({language for one in documents for language in one["meta"]["contentLanguages"]})
        return orjson.dumps(
            {"meta": {**documents[0]["meta"], "contentLanguages": languages}, "data": {"codelists": lists}}
        )
    lists = [message[message.index(_FIRST) : message.rindex(_LAST) + len(_LAST)] for message in messages]
    first = messages[0]
    return first[: first.index(_FIRST)] + b"".join(lists) + first[first.rindex(_LAST) + len(_LAST) :]
