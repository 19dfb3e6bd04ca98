"""XML as our writers escape it, and as readers of outside files get it: parsed in the sandbox, as a plain tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import orjson

from registry.errors import Invalid, Problem
from registry.sandbox import REQUEST_LIMITS, Limits, xml_lines

HEADING = '<?xml version="1.0" encoding="UTF-8"?>\n'
RULE = "xml_is_readable"

_SPECIAL = re.compile("[&<>\"'\n\r\t]")


def quoted(value: str) -> str:
    """A value as an attribute holds it, quotes included."""
    return quoteattr(value) if _SPECIAL.search(value) else f'"{value}"'


def escaped(text: str) -> str:
    """A text between tags. An XML reader turns a bare carriage return into a line feed: a reference keeps it."""
    return escape(text, {"\r": "&#13;"}) if _SPECIAL.search(text) else text


class Element(NamedTuple):
    """An element of an XML file: its namespace and local name, what it holds, and the line that it begins on.

    ``text`` is empty where there are children: no format that is read mixes both.
    """

    namespace: str
    name: str
    attributes: dict[str, str]
    text: str
    children: tuple[Element, ...]
    line: int

    @property
    def place(self) -> str:
        """Where the element stands, in words."""
        return f"ligne {self.line}"

    @property
    def language(self) -> str:
        """What ``xml:lang`` says here, in lower case; empty if it says nothing."""
        return self.attributes.get("http://www.w3.org/XML/1998/namespace lang", "").lower()

    def each(self, *names: str) -> Iterator[Element]:
        """The elements that a path of local names leads to, in order."""
        for child in self.children:
            if child.name == names[0]:
                if len(names) == 1:
                    yield child
                else:
                    yield from child.each(*names[1:])

    def text_of(self, *names: str) -> str:
        """The text of the first element that a path of local names leads to; empty if there is none."""
        return next((element.text for element in self.each(*names)), "")


def root(data: bytes, limits: Limits = REQUEST_LIMITS) -> Element:
    """The root of an XML file from outside, with all that is in it.

    :raises TooLarge: if the file has more bytes than ``limits`` allow.
    :raises Busy: if two files are being read already and neither ends in time.
    :raises Invalid: if it is not well-formed, has a DOCTYPE or entities, or costs more than ``limits`` allow.
    """
    # An element comes once it ends, so its children came just before it.
    waiting: list[list[Element]] = [[]]
    for line in xml_lines(data, limits=limits):
        depth, element = _element(line)
        while len(waiting) < depth + 2:
            waiting.append([])
        children = tuple(waiting[depth + 1])
        waiting[depth + 1].clear()
        text = "" if children else element.text
        waiting[depth].append(element._replace(children=children, text=text))
    if len(waiting[0]) != 1 or any(waiting[1:]):
        raise _unreadable()
    return waiting[0][0]


def _element(line: bytes) -> tuple[int, Element]:
    """An element as the child process told it, of which nothing is taken for granted, without its children."""
    try:
        found: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise _unreadable() from None
    match found:
        case [int(depth), str(name), dict(attributes), str(text), int(number)] if 0 <= depth < 1000:
            known = {key: str(value) for key, value in attributes.items()}
            if "\x00" in text or any("\x00" in value for value in known.values()):
                raise _unreadable()
            namespace, _, local = name.rpartition(" ")
            return depth, Element(namespace, local, known, text, (), number)
    raise _unreadable()


def _unreadable() -> Invalid:
    return Invalid([Problem(RULE, "le fichier n'a pas pu être lu", accepted="du XML bien formé, sans DOCTYPE")])
