"""What can stand in an argument or an option: a day, an instant, a version, the name of a concept or of a list."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

import click

from registry.columns import ROLES
from registry.merging import FIELDS, GROUP, HEADING, WHOLE
from registry.model import LINK_KINDS, Acceptance, Version
from registry.rules import LANGUAGE


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


class _PinnedRelease(_Shaped):
    name, accepted = "N@V", "a nomenclature and a version, such as types-aide@2.0"

    def read(self, text: str) -> ReleaseName:
        slug, at, version = text.partition("@")
        if not (slug and at):
            raise ValueError(text)
        return ReleaseName(slug, str(Version(version)))


class Field(NamedTuple):
    """A field of a concept, the language where it is a text, and a value of it."""

    name: str
    language: str
    value: str


class _Field(_Shaped):
    name, accepted = "FIELD[.LANGUAGE]=VALUE", "a field and a value, such as prefLabel.fr=Aide or broader=TA-001"

    def read(self, text: str) -> Field:
        key, equals, value = text.partition("=")
        name, _, language = key.partition(".")
        if not (name and equals):
            raise ValueError(text)
        return Field(name, language or "fr", value)


class _Mandate(_Shaped):
    name, accepted = "O=HOLDER", "an organisation and the one that holds its mandate, such as dep-01=dep-71"

    def read(self, text: str) -> tuple[str, str]:
        organisation, equals, holder = text.partition("=")
        if not (organisation and equals and holder):
            raise ValueError(text)
        return organisation, holder


class _ColumnName(_Shaped):
    name, accepted = "ROLE=HEADER", f"a role and a header, such as code=N°; the roles are {', '.join(ROLES)}"

    def read(self, text: str) -> tuple[str, str]:
        role, equals, header = text.partition("=")
        if role not in ROLES or not equals:
            raise ValueError(text)
        return role, header


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


class _Language(_Shaped):
    name, accepted = "TAG", "a language tag such as fr or fr-BE"

    def read(self, text: str) -> str:
        if not LANGUAGE.fullmatch(text.lower()):
            raise ValueError(text)
        return text.lower()


def clashing_field(name: str) -> tuple[str, str]:
    """A code, and the field of it that clashes; empty for all of them. Codes may hold dots, so the field comes last."""
    code, dot, field = name.rpartition(".")
    if dot and field in (*FIELDS, GROUP, HEADING, WHOLE):
        return code, field
    return name, ""


DAY = _Day()
LANGUAGE_TAG = _Language()
INSTANT = _Instant()
VERSION = _Number()
RELEASE = _Release()
CONCEPT = _Concept()
NAMED_RELEASE = _NamedRelease()
PINNED_RELEASE = _PinnedRelease()
FIELD = _Field()
MANDATE = _Mandate()
DRAFT = click.IntRange(1, 2**31 - 1)
LINK_KIND = click.Choice(LINK_KINDS)
LIST = _List()
COLUMN_NAME = _ColumnName()
ACCEPTANCE = _Acceptance()
