"""The shipped nomenclatures as their files say, read without a database."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib import resources
from typing import Any

import orjson

from registry import shipped
from registry.formats import of_file
from registry.model import Acceptance, Decision, Release

ROOT = resources.files("nomenclatures")
SLUGS = sorted(folder.name for folder in ROOT.iterdir() if (folder / "nomenclature.json").is_file())


@cache
def shipped_document(slug: str) -> dict[str, Any]:
    """What ``nomenclature.json`` says."""
    found: dict[str, Any] = orjson.loads((ROOT / slug / "nomenclature.json").read_bytes())
    return found


def shipped_item(slug: str, version: str) -> dict[str, Any]:
    """What ``nomenclature.json`` says of one release."""
    [item] = [item for item in shipped_document(slug)["releases"] if item["version"] == version]
    return dict(item)


@cache
def shipped_release(slug: str, version: str) -> Release:
    """One shipped release, read from its file."""
    item = shipped_item(slug, version)
    nomenclature = shipped.nomenclature(shipped_document(slug))
    read = of_file(item["file"]).read
    assert read is not None
    content = read((ROOT / slug / item["file"]).read_bytes(), nomenclature)
    return Release(
        content.nomenclature or nomenclature,
        version,
        date.fromisoformat(item["validFrom"]),
        content.concepts,
        content.links or frozenset(),
        content.groups or (),
    )


def shipped_decision(slug: str, version: str) -> Decision:
    """On what ground a shipped release is published."""
    item = shipped_item(slug, version)
    accepted = tuple(Acceptance(a["rule"], a["reason"], tuple(a.get("codes") or ())) for a in item["accepted"])
    return Decision(item["basis"], tuple(item["sameMeaning"]), accepted)
