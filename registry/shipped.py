"""Publishes what the package ``nomenclatures`` holds, by the same path that users take.

Every registry that loads the shipped data in this order has the same bytes, hashes and log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import orjson

from registry import crosswalks, drafts, editions, publishing
from registry.crosswalks import CodeList, Organisation
from registry.editions import Source
from registry.errors import Invalid, NotFound, Problem
from registry.formats import of_file
from registry.keys import Keys
from registry.model import Acceptance, Decision, Nomenclature, texts
from registry.store import Store


def publish(store: Store, keys: Keys, report: Callable[[str], None] = lambda _: None) -> int:
    """Publish every shipped release, local list and crosswalk that the registry does not have; return how many.

    ``report`` is told what was published, a line each.
    """
    count = 0
    for line in _published(store, keys):
        report(line)
        count += 1
    return count


def nomenclature(document: Mapping[str, Any]) -> Nomenclature:
    """A nomenclature from the JSON that describes it, shipped or given by a user.

    :raises Invalid: naming what is missing.
    """
    if document.get("votes"):
        accepted = "des règles de vote à part : socle nomenclatures rules N FICHIER"
        raise Invalid([Problem("nomenclature_is_readable", "« votes » ne se dit plus ici", accepted=accepted)])
    try:
        return Nomenclature(
            slug=document["slug"],
            iri=document["iri"],
            title=texts(document["title"].items()),
            description=texts((document.get("description") or {}).items()),
            publisher=document["publisher"],
            license=document["license"],
            attribution=document.get("attribution", ""),
            code_pattern=document["codePattern"],
            level_titles=tuple(document.get("levelTitles") or ()),
            generic=bool(document.get("generic")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Invalid([Problem("nomenclature_is_readable", f"champ absent ou mal formé : {error}")]) from error


def _published(store: Store, keys: Keys) -> Iterator[str]:
    root = resources.files("nomenclatures")
    folders = sorted((folder for folder in root.iterdir() if folder.is_dir()), key=lambda folder: folder.name)
    for folder in folders:
        description = folder / "nomenclature.json"
        if description.is_file():
            yield from _releases(store, keys, folder, orjson.loads(description.read_bytes()))
    for folder in sorted((root / "crosswalks").iterdir(), key=lambda folder: folder.name):
        if folder.is_dir():
            yield from _lists(store, folder, orjson.loads((folder / "organisation.json").read_bytes()))


def _releases(store: Store, keys: Keys, folder: Traversable, document: Mapping[str, Any]) -> Iterator[str]:
    described = nomenclature(document)
    try:
        known = {edition.version for edition in store.editions(described.slug)}
    except NotFound:
        store.add_nomenclature(described)
        known = set()
    for item in document["releases"]:
        if item["version"] in known:
            continue
        content = of_file(item["file"]).read
        assert content is not None  # noqa: S101 -- a shipped file is in a format that is read; tests hold it.
        accepted = (Acceptance(a["rule"], a["reason"], tuple(a.get("codes") or ())) for a in item["accepted"])
        decision = Decision(item["basis"], tuple(item["sameMeaning"]), tuple(accepted))
        data = (folder / item["file"]).read_bytes()
        draft = drafts.from_content(store, described.slug, content(data, described), decision=decision)
        edition = publishing.publish(
            store,
            draft,
            keys,
            version=item["version"],
            valid_from=date.fromisoformat(item["validFrom"]),
            issued=_instant(item["issued"]),
        )
        yield f"{described.slug}@{edition.version}"


def _lists(store: Store, folder: Traversable, document: Mapping[str, Any]) -> Iterator[str]:
    slug = document["slug"]
    organisation = Organisation(
        slug, document["name"], document["kind"], document.get("insee", ""), bool(document.get("demonstration"))
    )
    with suppress(NotFound):
        # An administrator may have said more of it since.
        organisation = store.organisation(slug)
    known = {(e.code_list, e.nomenclature, e.edition) for e in store.crosswalk_editions(organisation=slug)}
    for item in document["lists"]:
        code_list = CodeList(slug, item["slug"], item["title"], item["source"], item["license"], bool(item["whole"]))
        wanted = [t for t in item["crosswalks"] if (item["slug"], t["nomenclature"], t["edition"]) not in known]
        codes = crosswalks.read_list((folder / f"{item['slug']}.csv").read_bytes()) if wanted else []
        for target in wanted:
            editions.publish(
                store,
                Source(code_list, codes, organisation),
                target["nomenclature"],
                crosswalks.read_mappings((folder / target["file"]).read_bytes()),
                release=target["release"],
                valid_from=date.fromisoformat(target["validFrom"]),
                author=target["author"],
                license=target["license"],
                number=target["edition"],
                list_valid_from=date.fromisoformat(item["validFrom"]),
                issued=_instant(target["issued"]),
            )
            yield f"{slug}/{item['slug']} → {target['nomenclature']}@{target['release']}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
