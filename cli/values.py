"""What can stand in an argument or an option: a day, an instant, a version, the name of a concept or of a list."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

import click

from registry.model import Acceptance, Version


class _Shaped(click.ParamType[Any]):
    """A value read from text: ``read`` raises ValueError for text of another shape, ``name`` says which is accepted."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, or a usage error that says what is accepted."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError:
            self.fail(f"{value!r} is not {self.accepted}", param, ctx)

    accepted = ""

    def read(self, text: str) -> Any:
        """The value that the text stands for."""
        raise NotImplementedError


class _Day(_Shaped):
    name, accepted = "YYYY-MM-DD", "a day such as 2024-03-01"

    def read(self, text: str) -> date:
        # fromisoformat also takes 20240301 and 2024-W09-5, which nobody means here.
        if len(text) != len("2024-03-01"):
            raise ValueError(text)
        return date.fromisoformat(text)


class _Instant(_Shaped):
    name, accepted = "instant", "an instant with its offset, such as 2024-03-01T12:00:00Z"

    def read(self, text: str) -> datetime:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError(text)
        return found


class _Number(_Shaped):
    name, accepted = "MAJOR.MINOR", "a version such as 2.0"

    def read(self, text: str) -> str:
        return str(Version(text))


class _Release(_Shaped):
    name, accepted = "VERSION", "a version such as 2.0, `latest` or `current`"

    def read(self, text: str) -> str:
        return text if text in ("latest", "current") else str(Version(text))


class ConceptName(NamedTuple):
    """A nomenclature and one of its codes."""

    slug: str
    code: str


class _Concept(_Shaped):
    name, accepted = "N/CODE", "a nomenclature and a code, such as types-aide/TA-AUT-110"

    def read(self, text: str) -> ConceptName:
        slug, slash, code = text.partition("/")
        if not (slug and slash and code):
            raise ValueError(text)
        return ConceptName(slug, code)


class ReleaseName(NamedTuple):
    """A nomenclature and the release of it that is meant; None: the one in force."""

    slug: str
    release: str | None


class _NamedRelease(_Shaped):
    name, accepted = "N[@V]", "a nomenclature, and perhaps a version, such as types-aide@2.0"

    def read(self, text: str) -> ReleaseName:
        slug, at, release = text.partition("@")
        if not slug:
            raise ValueError(text)
        return ReleaseName(slug, RELEASE.read(release) if at else None)


class ListName(NamedTuple):
    """An organisation, one of its lists, and perhaps an edition of the crosswalk."""

    organisation: str
    slug: str
    edition: int | None


class _List(_Shaped):
    name, accepted = "ORG/LIST[@E]", "an organisation and a list, such as dep-71/solis or dep-71/solis@2"

    def read(self, text: str) -> ListName:
        name, at, edition = text.partition("@")
        organisation, slash, slug = name.partition("/")
        if not (organisation and slash and slug) or "/" in slug:
            raise ValueError(text)
        return ListName(organisation, slug, int(edition) if at else None)


class _Acceptance(_Shaped):
    name, accepted = "RULE[:CODE,CODE]=REASON", "a rule, perhaps codes, and a reason: labels_are_unique:A,B=homonymes"

    def read(self, text: str) -> Acceptance:
        what, equals, reason = text.partition("=")
        rule, _, codes = what.partition(":")
        if not (rule and equals and reason.strip()):
            raise ValueError(text)
        return Acceptance(rule, reason.strip(), tuple(code for code in codes.split(",") if code))


DAY = _Day()
INSTANT = _Instant()
VERSION = _Number()
RELEASE = _Release()
CONCEPT = _Concept()
NAMED_RELEASE = _NamedRelease()
LIST = _List()
ACCEPTANCE = _Acceptance()
