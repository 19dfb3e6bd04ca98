"""Commands that prepare a release: make a draft, look at it, edit it by hand or by file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import click

from cli import committee, current, output, values
from cli.reading import KINDS, difference_document, difference_lines
from registry import drafts, editing, rules
from registry import impact as impact_
from registry.access import refusing
from registry.errors import Invalid, Problem
from registry.formats import FORMATS, of_file, read_content
from registry.formats.document import concept_from, concept_state
from registry.formats.skos_scope import Choices
from registry.merging import Side
from registry.model import TEXT_PROPERTIES, Acceptance, Concept, Content, Decision, Link, Nomenclature
from registry.sandbox import OPERATOR_LIMITS
from registry.store import Store
from registry.store.drafts import DRAFT_STATES, DraftHead

READABLE = [format.name for format in FORMATS.values() if format.read]
DRAFT = click.argument("number", metavar="DRAFT", type=values.DRAFT)
FORMAT = click.option(
    "--format", type=click.Choice(READABLE), help="The file's format; told by its name unless it is -."
)
CHOICES = (
    click.option("--scheme", metavar="IRI", default="", help="Of SKOS: the concept scheme to take among several."),
    click.option("--language", metavar="TAG", type=values.LANGUAGE_TAG, help="Of texts without one."),
    click.option("--inside-only", is_flag=True, help="Leave relations to concepts out that the scheme does not hold."),
    click.option("--codes", type=click.Choice(("notation", "iri")), default="notation", help="Where codes come from."),
    click.option("--replaced-on", metavar="DAY", type=values.DAY, help="The day of each dct:isReplacedBy of the file."),
)
"""What is left open by SKOS files of others: the fields of ``Choices``."""
REVISION = click.option("--revision", type=click.IntRange(1), help="Refuse unless the draft is still at this revision.")

TEXTS = tuple(item.key for item in TEXT_PROPERTIES)
LISTS = ("broader", "related", "legalBasis")
SINGLE = ("status", "validFrom", "validUntil")


def _choices(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(CHOICES):
        command = option(command)
    return command


@click.group()
def draft() -> None:
    """Prepare a release: a draft is the last release plus what a file, an earlier release or your edits say."""


@draft.command()
@click.argument("slug", metavar="N")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--from-release", metavar="V", type=values.RELEASE, help="Take the content of this release instead.")
@FORMAT
@_choices
@click.option("--title", default="", help="What the draft is about, for those who read and vote.")
@click.option(
    "--same-meaning", metavar="CODE", multiple=True, help="Its text changed, its meaning did not. Repeatable."
)
@click.option("--accept", type=values.ACCEPTANCE, multiple=True, help="Accept a warning in writing. Repeatable.")
@click.option("--basis", metavar="TEXT", default="", help="On what ground the release is made: goes into the manifest.")
@click.option("--act", metavar="ACT", multiple=True, help="A legal act behind it, by NOR or ELI. Repeatable.")
@output.json_option
def new(slug: str, file: IO[bytes] | None, from_release: str | None, format: str | None, **said: Any) -> None:
    """Make a draft of the nomenclature N: from a FILE that holds its whole content, from a release of it, or empty.

    An empty one changes nothing yet: `draft edit` does, code by code.
    """
    registry = current.store()
    if file is not None and from_release is not None:
        raise click.UsageError("give a FILE or --from-release V, not both")
    content = _given(registry, slug, file, format, said) if file else None
    content = _restored(registry, slug, from_release) if from_release else content
    decision = Decision(said["basis"], said["same_meaning"], said["accept"], said["act"])
    actor = current.actor()
    number = drafts.from_content(registry, slug, content, decision=decision, title=said["title"], actor=actor)
    found = drafts.changes(registry, number)
    counts = {"draft": number, "nomenclature": slug, "base": found.before.version or None}
    changed = len(found.changes)
    output.answer({**counts, "changes": changed}, [f"projet {number} de {slug} : {changed} codes touchés"])


@draft.command(name="list")
@click.option("--state", type=click.Choice(DRAFT_STATES), help="Only drafts in this state.")
@click.option("--in", "slug", metavar="N", help="Only of this nomenclature.")
@output.json_option
def list_(state: str | None, slug: str | None) -> None:
    """List drafts, oldest first."""
    registry = current.store()
    with refusing(registry, current.actor(), "draft.read", "drafts"):
        found, _ = registry.drafts(slug=slug, state=state, limit=2**31 - 1)
    rows = ((one.id, one.nomenclature.slug, one.state, one.base or "-", one.title) for one in found)
    documents = [drafts.draft_document(registry, one) for one in found]
    output.listing(documents, output.table([("projet", "nomenclature", "état", "base", "titre"), *rows]))


@draft.command()
@DRAFT
@click.argument("code", required=False)
@output.json_option
def show(number: int, code: str | None) -> None:
    """Show a draft: its state, what it was submitted with, its votes; or one concept as it holds it, with its tag."""
    registry, head = readable(number)
    if code is None:
        committee.answer_draft(registry, head)
    else:
        found = drafts.concept_in(registry, head, code)
        document = concept_state(found.concept) if found.concept else None
        answer = {"draft": number, "code": code, "concept": document, "tag": found.tag}
        output.answer(answer, [json.dumps(document, ensure_ascii=False, indent=2), f"étiquette : {found.tag}"])


@draft.command()
@DRAFT
@output.json_option
def check(number: int) -> None:
    """Check a draft by every rule; ends with exit code 1 if publishing it would be refused.

    A warning counts until it is accepted in writing (`draft new --accept`, `draft edit --accept`).
    """
    registry, _ = readable(number)
    rules.refuse(drafts.problems(registry, number))
    output.answer({"problems": [], "total": 0}, [f"projet {number} : aucun problème"])


@draft.command()
@DRAFT
@output.json_option
def diff(number: int) -> None:
    """Show what a draft changes in the release that it rests on."""
    registry, _ = readable(number)
    found = drafts.changes(registry, number)
    ends = {"draft": number, "nomenclature": found.after.nomenclature.slug, "from": found.before.version or None}
    output.answer({**ends, **difference_document(found)}, difference_lines(found))


@draft.command()
@DRAFT
@click.option("--code", metavar="CODE", default="", help="Only the breaking change of this code.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many organisations to name."
)
@output.json_option
def impact(number: int, code: str, limit: int) -> None:
    """Say who must act if a draft is published: which organisations, how many local codes, by hand or not.

    Of each crosswalk the last edition counts. Whoever has most local codes to look at comes first.
    """
    registry, _ = readable(number)
    found = impact_.impact(registry, number, code=code, limit=limit)
    organisations = impact_.organisation_documents(found)
    document = {
        **impact_.impact_document(found),
        "items": organisations,
        "total": found.total.organisations,
    }
    output.answer(document, _impact_lines(document))


# --- Editing -------------------------------------------------------------------------------------------------------


@draft.command()
@DRAFT
@click.argument("code", required=False)
@click.option(
    "--set", "sets", type=values.FIELD, multiple=True, help="prefLabel.fr=…: this and nothing else. Repeatable."
)
@click.option("--add", "adds", type=values.FIELD, multiple=True, help="altLabel.fr=…: one more value. Repeatable.")
@click.option("--remove", "removes", type=values.FIELD, multiple=True, help="One value less. Repeatable.")
@click.option("--broader", metavar="CODE", multiple=True, help="The broader concepts, these and no others.")
@click.option("--file", type=click.File("rb"), help="The whole concept as JSON, as `draft show DRAFT CODE` gives it.")
@click.option("--delete", is_flag=True, help="Take the concept out; a published one is deprecated instead.")
@click.option("--tag", help="Refuse unless the concept is still in this state, which `draft show` told.")
@click.option(
    "--link", "links", nargs=4, metavar="OLD NEW DATE KIND", multiple=True, help="Declare lineage. Repeatable."
)
@click.option("--unlink", "unlinks", nargs=4, metavar="OLD NEW DATE KIND", multiple=True, help="Take lineage back.")
@click.option("--title", help="What the draft is about.")
@click.option("--basis", metavar="TEXT", help="On what ground the release is made.")
@click.option("--act", metavar="ACT", multiple=True, help="The legal acts behind it, these and no others: NOR or ELI.")
@click.option("--same-meaning", metavar="CODE", multiple=True, help="Its text changed, its meaning did not.")
@click.option("--accept", type=values.ACCEPTANCE, multiple=True, help="Accept a warning in writing. Repeatable.")
@REVISION
@output.json_option
def edit(number: int, code: str | None, **said: Any) -> None:
    """Edit a draft: a concept by its CODE, new or known; lineage; what is said of the draft as a whole.

    A field is a name of our JSON, with a language where it is a text: prefLabel.fr, definition.fr, broader, validFrom.
    Editing a draft that was submitted opens it again: its votes are void, and whoever voted is told.
    """
    registry, actor = current.store(), current.actor()
    with registry.at_once():
        drafts.check_revision(registry.draft_head(number), said["revision"])
        if code is not None:
            _edit_concept(registry, number, code, said)
        editing.revise(registry, number, actor=actor, **_revisions(registry.draft_head(number), said))
    committee.answer_draft(registry, registry.draft_head(number))


@draft.command()
@DRAFT
@click.option("--format", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option("-o", "--output", "out", type=click.File("wb", lazy=True, atomic=True), default="-", help="The file.")
def export(number: int, format: str, out: IO[bytes]) -> None:
    """Write all that a draft holds to a file, to be edited there and read back by `draft import`."""
    registry, _ = readable(number)
    for part in FORMATS[format].write(drafts.state_of(registry, number)):
        out.write(part)


@draft.command(name="import")
@DRAFT
@click.argument("file", type=click.File("rb"))
@FORMAT
@_choices
@REVISION
@output.json_option
def import_(number: int, file: IO[bytes], format: str | None, revision: int | None, **said: Any) -> None:
    """Let a draft hold what a FILE says, its whole content; what was not edited in it does not change."""
    registry = current.store()
    content = _content(file, format, registry.draft_head(number).nomenclature, said)
    _, codes = editing.replace_content(registry, number, content, actor=current.actor(), revision=revision)
    output.answer({"draft": number, "changed": codes}, [f"projet {number} : {len(codes)} codes modifiés", *codes])


@draft.command()
@DRAFT
@click.option(
    "--take",
    "taken",
    type=(click.Choice(("ours", "theirs")), str),
    metavar="ours|theirs CODE[.FIELD]",
    multiple=True,
    help="Which side holds where both changed something: the draft's (ours) or the release's (theirs). Repeatable.",
)
@REVISION
@output.json_option
def rebase(number: int, taken: tuple[tuple[Side, str], ...], revision: int | None) -> None:
    """Put a draft on the release that overtook its base.

    What clashes is listed, and nothing changes until --take says of each which side holds.
    """
    registry = current.store()
    sides = {values.clashing_field(name): side for side, name in taken}
    committee.answer_draft(registry, editing.rebase(registry, number, sides, actor=current.actor(), revision=revision))


for command in committee.ON_DRAFTS:
    draft.add_command(command)


def readable(number: int) -> tuple[Store, DraftHead]:
    """The registry, and a draft that whoever acts may read.

    :raises Forbidden: if they may not.
    :raises NotFound: if there is no such draft.
    """
    registry = current.store()
    with refusing(registry, current.actor(), "draft.read", f"draft {number}"):
        return registry, registry.draft_head(number)


def _impact_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """An impact in words: how much in all, then a line for each breaking change, and for each organisation named."""
    changes, totals = found["changes"], found["totals"]
    ways = f"à la main {changes['byHand']}, avec successeur {changes['automatic']}"
    yield (
        f"projet {found['draft']} : modifications incompatibles {changes['breaking']} ({ways}), "
        f"compatibles {changes['compatible']}"
    )
    yield (
        f"touchés : organismes {totals['organisations']}, tables de correspondance {totals['crosswalks']}, "
        f"correspondances {totals['mappings']}, {_local_codes(totals)}"
    )
    for one in found["codes"]:
        kinds = ", ".join(KINDS[kind] for kind in one["kinds"])
        follows = f"repris par {one['successor']['code']}" if one["successor"] else "à la main"
        counts = f"organismes {one['organisations']}, correspondances {one['mappings']}"
        label = next(iter(one["prefLabel"].values()), "")
        yield f"  {one['code']} {label} ({one['release'] or 'projet'}) : {kinds} ; {follows} ; {counts}"
    for one in found["items"]:
        yield f"{one['organisation']}, {one['name']} : {_local_codes(one)}"
    if found["total"] > len(found["items"]):
        yield f"et d'autres organismes : {found['total'] - len(found['items'])} (--limit)"


def _local_codes(counts: Mapping[str, int]) -> str:
    ways = f"à examiner à la main {counts['byHand']}, avec successeur {counts['automatic']}"
    return f"codes locaux {counts['localCodes']} ({ways})"


def _edit_concept(registry: Store, number: int, code: str, said: Mapping[str, Any]) -> None:
    found = drafts.concept_in(registry, registry.draft_head(number), code)
    tag = said["tag"] if said["tag"] is not None else found.tag
    if said["delete"]:
        editing.delete_concept(registry, number, code, actor=current.actor(), tag=tag)
        return
    before = concept_state(found.concept or Concept(code, ()))
    try:
        state = json.loads(current.contents(said["file"])) if said["file"] else _edited(before, said)
        concept = concept_from({**state, "code": code})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        accepted = "les champs que montre « socle draft show DRAFT CODE »"
        raise Invalid(
            [Problem("json_is_readable", f"concept mal formé : {error}", (code,), accepted=accepted)]
        ) from error
    if said["file"] or state != before or found.concept is None:
        editing.put_concept(registry, number, concept, actor=current.actor(), tag=tag)


def _edited(before: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """A concept's JSON with the fields set, added to and taken from.

    :raises ValueError: if there is no such field.
    """
    state = {key: dict(value) if isinstance(value, dict) else value for key, value in before.items()}
    for field in said["sets"]:
        _put(state, field, [field.value] if field.value else [])
    for field in said["adds"]:
        _put(state, field, [*_values(state, field), field.value])
    for field in said["removes"]:
        _put(state, field, [value for value in _values(state, field) if value != field.value])
    if said["broader"]:
        state["broader"] = [code for code in said["broader"] if code]
    return state


def _values(state: dict[str, Any], field: values.Field) -> list[str]:
    found = state[field.name].get(field.language, []) if field.name in TEXTS else state.get(field.name) or []
    return [found] if isinstance(found, str) else list(found)


def _put(state: dict[str, Any], field: values.Field, new: list[str]) -> None:
    if field.name in TEXTS:
        state[field.name][field.language] = list(dict.fromkeys(new))
    elif field.name in LISTS:
        state[field.name] = list(dict.fromkeys(new))
    elif field.name in SINGLE and len(new) <= 1:
        state[field.name] = new[0] if new else None
    else:
        raise ValueError(f"{field.name}: {', '.join((*TEXTS, *LISTS, *SINGLE))}")


def _revisions(head: DraftHead, said: Mapping[str, Any]) -> dict[str, Any]:
    """What an edit says of the draft as a whole; None where it says nothing."""
    accepted: dict[tuple[str, tuple[str, ...]], Acceptance] = {
        (item.rule, item.codes): item for item in (*head.decision.accepted, *said["accept"])
    }
    return {
        "title": said["title"],
        "basis": said["basis"],
        "links_added": _links(said["links"]),
        "links_removed": _links(said["unlinks"]),
        "acts": said["act"] or None,
        "same_meaning": (*head.decision.same_meaning, *said["same_meaning"]) if said["same_meaning"] else None,
        "accepted": tuple(accepted.values()) if said["accept"] else None,
    }


def _links(given: tuple[tuple[str, str, str, str], ...]) -> list[Link]:
    return [
        Link(old, new, values.DAY.convert(day, None, None), values.LINK_KIND.convert(kind, None, None))
        for old, new, day, kind in given
    ]


def _given(registry: Store, slug: str, file: IO[bytes], format: str | None, said: Mapping[str, Any]) -> Content:
    """What a file says of a nomenclature, whose last release says how it is described."""
    last = drafts.last_release(registry, slug)
    return _content(file, format, last.nomenclature if last else registry.nomenclature(slug), said)


def _content(file: IO[bytes], format: str | None, described: Nomenclature, said: Mapping[str, Any]) -> Content:
    name = str(getattr(file, "name", "-"))
    if format is None and not Path(name).suffix:
        raise click.UsageError("--format is needed: the file's name does not tell its format")
    data = current.contents(file)
    format = format or of_file(name, data).name
    if FORMATS[format].read is None:
        raise click.UsageError(f"this format is not read; these are: {', '.join(READABLE)}")
    choices = Choices(**{field: said[field] for field in Choices._fields if said[field] is not None})
    return read_content(format, data, described, OPERATOR_LIMITS, choices)


def _restored(registry: Store, slug: str, version: str) -> Content:
    """The content of a release, to begin from; lineage only grows, so the last release's stays."""
    release = registry.release(slug, current.edition(registry, slug, version).version)
    return Content(release.concepts, None, release.groups)
