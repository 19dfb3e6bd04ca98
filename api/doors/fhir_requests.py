"""What a FHIR client asks: the parameters of an operation, by address or in a Parameters resource, and of a search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple, NoReturn

from flask import abort, current_app, request

from registry.errors import Invalid, Problem

_LONGEST = 1_000
_MOST_PARAMETERS = 200
JSON = ("application/fhir+json", "application/json")
_FORMATS = ("json", "text/json", *JSON)

Value = str | bool | int | float | dict[str, Any]


def refuse(rule: str, message: str, where: str, accepted: str = "", value: str = "") -> NoReturn:
    """Refuse what is well formed and can't be answered.

    :raises Invalid: always.
    """
    raise Invalid([Problem(rule, message, (), where, value[:300], accepted)])


class Coding(NamedTuple):
    """A code as a client names it."""

    system: str
    version: str
    code: str
    display: str


class Asked:
    """The parameters of one request, each a list of values; those that nobody reads are left alone."""

    def __init__(self, values: Mapping[str, list[Value]]) -> None:
        self._values = values

    @classmethod
    def read(cls) -> Asked:
        """Those of this request: its query and, with POST, the Parameters in its body."""
        values: dict[str, list[Value]] = {}
        for name, text in request.args.items(multi=True):
            values.setdefault(name, []).append(text)
        if request.method == "POST":
            for name, value in _of_body():
                values.setdefault(name, []).append(value)
        if sum(map(len, values.values())) > _MOST_PARAMETERS:
            abort(413, f"at most {_MOST_PARAMETERS} parameters")
        return cls(values)

    @classmethod
    def of_search(cls) -> Asked:
        """Those of a search: its query and, with POST, the form in its body."""
        values: dict[str, list[Value]] = {}
        given = [*request.args.items(multi=True), *request.form.items(multi=True)]
        if len(given) > _MOST_PARAMETERS:
            abort(413, f"at most {_MOST_PARAMETERS} parameters")
        for name, text in given:
            values.setdefault(name, []).append(text)
        return cls(values)

    def names(self) -> list[str]:
        """The names of what was given."""
        return list(self._values)

    def each(self, name: str) -> list[str]:
        """The texts given under a name."""
        found = self._values.get(name, [])
        if not all(isinstance(value, str) and len(value) <= _LONGEST for value in found):
            abort(400, f"{name}: accepted is a text of at most {_LONGEST} characters")
        return [str(value) for value in found]

    def text(self, name: str) -> str:
        """The one text given under a name; empty if there is none."""
        found = self.each(name)
        if len(found) > 1:
            abort(400, f"{name}: accepted once")
        return found[0] if found else ""

    def needed(self, name: str) -> str:
        """The text given under a name, which there must be."""
        return self.text(name) or abort(400, f"{name}: required")

    def flag(self, name: str) -> bool:
        """The truth given under a name; false if there is none."""
        found = self._values.get(name, [False])
        words = {"true": True, "false": False, True: True, False: False}
        if len(found) > 1 or not isinstance(found[0], str | bool) or found[0] not in words:
            abort(400, f"{name}: accepted are true and false")
        return words[found[0]]

    def number(self, name: str, default: int | None = None) -> int | None:
        """The number, from 0, given under a name."""
        found = self._values.get(name)
        if not found:
            return default
        text = str(found[0]) if isinstance(found[0], str | int) and not isinstance(found[0], bool) else ""
        if len(found) > 1 or not (text.isascii() and text.isdecimal() and len(text) < 10):
            abort(400, f"{name}: accepted is a whole number, from 0")
        return int(text)

    def day(self, name: str) -> date | None:
        """The day given under a name, be it as an instant."""
        text = self.text(name)
        try:
            return date.fromisoformat(text[:10]) if text else None
        except ValueError:
            abort(400, f"{name}: accepted is a day, such as 2024-03-01")

    def codings(
        self, *, code: str = "code", coding: str = "coding", concept: str = "codeableConcept", context: str = "url"
    ) -> list[Coding]:
        """The codes given: as a code and its system, as a coding, or as a concept with several codings.

        ``context`` is the parameter that says what the system of a code is where nothing else does.
        """
        if code in self._values:
            system = self.text("system") or (self.text(context) if context else "")
            return [Coding(*_canonical(system, self.text("version")), self.needed(code), self.text("display"))]
        found = [self._structure(name) for name in (coding, concept) if name in self._values]
        listed = [
            one
            for structure in found
            for one in (structure.get("coding", []) if "coding" in structure else [structure])
        ]
        if not isinstance(listed, list) or not 0 < len(listed) <= 20 or not all(map(_is_coding, listed)):
            abort(400, f"{code}: required, or {coding} with a system and a code")
        return [
            Coding(*_canonical(one.get("system", ""), one.get("version", "")), one["code"], one.get("display", ""))
            for one in listed
        ]

    def canonical(self, name: str, version: str) -> tuple[str, str]:
        """A canonical address and its version, given after ``|`` or under a name of its own."""
        return _canonical(self.text(name), self.text(version))

    def without(self, *names: str) -> None:
        """Refuse what would change the answer and is not supported."""
        for name in names:
            if name in self._values:
                refuse("fhir_not_supported", f"{name} is not supported", name)

    def _structure(self, name: str) -> dict[str, Any]:
        found = self._values[name]
        if len(found) > 1 or not isinstance(found[0], dict):
            abort(400, f"{name}: accepted once, in a Parameters resource")
        return found[0]


def _canonical(address: str, version: str) -> tuple[str, str]:
    address, _, told = address.partition("|")
    if told and version and told != version:
        abort(400, "the version after | is not the one that is given beside it")
    return address, told or version


def _is_coding(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("code"), str)
        and all(isinstance(value.get(name, ""), str) for name in ("system", "version", "display"))
        and all(len(text) <= _LONGEST for text in value.values() if isinstance(text, str))
    )


def _of_body() -> list[tuple[str, Value]]:
    if request.mimetype not in JSON:
        abort(415, f"Content-Type: accepted are {', '.join(JSON)}")
    data = request.get_data(cache=True)
    if not data:
        return []
    try:
        found = current_app.json.loads(data)
    except ValueError as error:
        abort(400, f"the body is not acceptable JSON: {error}"[:500])
    if not isinstance(found, dict) or found.get("resourceType") != "Parameters":
        abort(400, "the body: accepted is a resource of type Parameters")
    parameters = found.get("parameter", [])
    if not isinstance(parameters, list):
        abort(400, "parameter: accepted is a list")
    return [_parameter(one) for one in parameters]


def _parameter(given: Any) -> tuple[str, Value]:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        abort(400, "parameter: each has a name")
    values = [value for key, value in given.items() if re.fullmatch(r"value[A-Z][A-Za-z]*|resource", key)]
    if len(values) != 1 or not isinstance(values[0], str | bool | int | float | dict):
        abort(400, f"parameter {given['name'][:50]}: accepted is one value")
    return given["name"], values[0]


def check_format() -> None:
    """Refuse ``_format`` where it asks for anything but JSON."""
    asked = request.args.get("_format")
    if asked is not None and asked.replace(" ", "+").partition(";")[0] not in _FORMATS:
        abort(406, f"_format: offered here are {', '.join(_FORMATS)}")
