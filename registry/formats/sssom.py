"""SSSOM/TSV, the standard for mappings: read strictly, each fault with its line; written in the canonical form.

The metadata stand above the table, as YAML behind ``#``. A slot that all rows share stands there too (the standard says
"condensed"): reading gives it back to the rows. Written are only the slots that have a value, in the order of the
standard, rows and prefixes sorted: so writing what was read from a canonical file gives the same bytes.

Of a crosswalk go out its mappings; a local code that nobody has reviewed has no row. ``noMatch`` is a row to
``sssom:NoTermFound``. What the standard has no slot for travels in slots of our own, declared in the file: ``covers``,
``weight`` and ``status``. Local codes hold any character, so they are percent-encoded in their CURIEs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from urllib.parse import quote

import yaml

from registry.crosswalks import Crosswalk
from registry.formats.sssom_reading import Fault, Reading, looks_like, parse, read
from registry.formats.sssom_slots import (
    BUILT_IN,
    DAYS,
    NO_TERM_FOUND,
    PROPAGATED,
    REFERENCES,
    REQUIRED,
    ROW_SLOTS,
    RULE,
    SET_SLOTS,
    SEVERAL,
    SHARES,
    Extension,
    MappingSet,
    Value,
)
from registry.formats.tabular import join_cell

__all__ = (
    "NO_TERM_FOUND",
    "RULE",
    "Extension",
    "Fault",
    "MappingSet",
    "Reading",
    "looks_like",
    "parse",
    "read",
    "write",
    "write_crosswalk",
)

_UNSPECIFIED_LICENSE = "https://w3id.org/sssom/license/unspecified"
_NOT_PLAIN = re.compile(r"""[,\[\]{}#&*!|>'"%@`\s]|[-?:](?:\s|$)|.*(?::(?:\s|$)|\s#)|.*\s$""", re.DOTALL)
_A_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.?[0-9_]*)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9A-Fa-f]+")
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_RESOLVER = yaml.resolver.Resolver()


def write(mapping_set: MappingSet) -> Iterator[bytes]:
    """A mapping set as canonical SSSOM/TSV."""
    rows = [{slot: _rounded(slot, value) for slot, value in row.items()} for row in mapping_set.rows]
    slots = {slot: _rounded(slot, value) for slot, value in mapping_set.slots.items()}
    for slot in PROPAGATED if rows else ():
        common = rows[0].get(slot)
        if common and slots.get(slot, common) == common and all(row.get(slot) == common for row in rows):
            slots[slot] = common
            for row in rows:
                del row[slot]
    used = {slot for row in rows for slot in row} | set(slots)
    extensions = sorted(
        (extension for extension in mapping_set.extensions if extension.slot_name in used),
        key=lambda extension: (extension.property, extension.slot_name),
    )
    columns = [slot for slot in ROW_SLOTS if slot in REQUIRED or any(slot in row for row in rows)]
    columns += [item.slot_name for item in extensions if any(item.slot_name in row for row in rows)]
    yield _metadata(mapping_set.prefixes, slots, rows, extensions).encode()
    yield _line(columns)
    cells = sorted([[_cell(slot, row.get(slot, "")) for slot in columns] for row in rows])
    for start in range(0, len(cells), 500):
        yield b"".join(map(_line, cells[start : start + 500]))


def _rounded(slot: str, value: Value) -> Value:
    if slot not in SHARES or not isinstance(value, str):
        return value
    rounded = Decimal(value).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return f"{rounded:f}".rstrip("0").rstrip(".")


def _cell(slot: str, value: Value) -> str:
    return join_cell((value,) if isinstance(value, str) else value) if slot in SEVERAL else str(value)


def _line(cells: Sequence[str]) -> bytes:
    shown = ['"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in '"\t\r\n') else cell for cell in cells]
    return ("\t".join(shown) + "\n").encode()


def _metadata(
    prefixes: Mapping[str, str],
    slots: Mapping[str, Value],
    rows: Sequence[Mapping[str, Value]],
    extensions: Sequence[Extension],
) -> str:
    curies = [curie for extension in extensions for curie in extension[1:]]
    for row in (slots, *rows):
        for slot in REFERENCES & set(row):
            value = row[slot]
            curies += [value] if isinstance(value, str) else value
    used = {curie.partition(":")[0] for curie in curies}
    lines = []
    if named := sorted(name for name in used if name in prefixes and name not in BUILT_IN):
        lines += ["curie_map:", *(f"  {_scalar(name)}: {_scalar(prefixes[name])}" for name in named)]
    own = [extension.slot_name for extension in extensions if extension.slot_name in slots]
    for slot in SET_SLOTS:
        if slot in slots:
            lines += _said(slot, slots[slot])
    if extensions:
        lines.append("extension_definitions:")
        for extension in extensions:
            pairs = [f"{key}: {_scalar(text)}" for key, text in extension._asdict().items() if text]
            lines += [("  - " if place == 0 else "    ") + pair for place, pair in enumerate(pairs)]
    for slot in own:
        lines += _said(slot, slots[slot])
    return "".join(f"#{line}\n" for line in lines)


def _said(slot: str, value: Value) -> list[str]:
    if slot in SEVERAL:
        return [f"{slot}:", *(f"  - {_scalar(text)}" for text in ((value,) if isinstance(value, str) else value))]
    return [f"{slot}: {_scalar(str(value), plain=slot in DAYS or slot in SHARES)}"]


def _scalar(text: str, *, plain: bool = False) -> str:
    """A text in YAML: plain where it is read back as the text that it is, else in double quotes."""
    if plain:
        return text
    read_as = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # Untyped there.
    ordinary = text.isprintable() and not _NOT_PLAIN.match(text) and not _A_NUMBER.fullmatch(text)
    if text and ordinary and read_as == "tag:yaml.org,2002:str":
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04X}", quoted)


def write_crosswalk(crosswalk: Crosswalk) -> Iterator[bytes]:
    """A crosswalk as canonical SSSOM/TSV: the codes that were reviewed."""
    return write(mapping_set(crosswalk))


def mapping_set(crosswalk: Crosswalk) -> MappingSet:
    """A crosswalk as a mapping set."""
    labels = {item.code: item.label for item in crosswalk.codes}
    shared: dict[str, Value] = {
        "subject_source": f"socle:{crosswalk.list_iri.removeprefix(crosswalk.registry)}",
        "object_source": f"socle:{crosswalk.nomenclature.slug}",
        "object_source_version": crosswalk.release,
    }
    if crosswalk.list_edition:
        shared["subject_source_version"] = str(crosswalk.list_edition)
    rows = []
    for item in crosswalk.mappings:
        found = item.relation != "noMatch"
        given: dict[str, str] = {
            "subject_id": f"local:{quote(item.local_code, safe='')}",
            "subject_label": labels.get(item.local_code, ""),
            "predicate_id": f"skos:{item.relation}" if found else "skos:mappingRelation",
            "object_id": f"concept:{item.target_code}" if found else NO_TERM_FOUND,
            "object_label": crosswalk.labels.get(item.target_code, ""),
            "mapping_justification": item.justification,
            "mapping_cardinality": "" if found else "1:0",
            "mapping_date": item.date,
            "confidence": item.confidence,
            "comment": item.comment,
            "covers": "true" if item.covers else "",
            "weight": item.weight,
            "status": "mapped" if found else "noMatch",
        }
        row: dict[str, Value] = {slot: text for slot, text in given.items() if text}
        row |= {
            slot: (name,) for slot, name in (("author_label", item.author), ("reviewer_label", item.reviewer)) if name
        }
        rows.append(shared | row)
    return MappingSet(
        {
            "socle": crosswalk.registry,
            "local": f"{crosswalk.list_iri}/",
            "concept": f"{crosswalk.nomenclature.iri}/",
        },
        _heading(crosswalk),
        rows,
        [
            Extension("covers", "socle:-/sssom/covers", "xsd:boolean"),
            Extension("status", "socle:-/sssom/status", "xsd:string"),
            Extension("weight", "socle:-/sssom/weight", "xsd:decimal"),
        ],
    )


def _heading(crosswalk: Crosswalk) -> dict[str, Value]:
    edition = str(crosswalk.edition) if crosswalk.edition else ""
    given: dict[str, str] = {
        "sssom_version": "1.1",
        "mapping_set_id": crosswalk.iri + (f"@{edition}" if edition else ""),
        "mapping_set_version": edition,
        "mapping_set_title": crosswalk.title,
        "license": crosswalk.license or _UNSPECIFIED_LICENSE,
        "publication_date": crosswalk.issued.date().isoformat() if crosswalk.issued else "",
    }
    found: dict[str, Value] = {slot: text for slot, text in given.items() if text}
    return found | ({"creator_label": (crosswalk.author,)} if crosswalk.author else {})
