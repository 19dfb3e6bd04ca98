"""What a release must respect, one function a rule; errors block, warnings need an acceptance in writing.

SKOS integrity conditions are named by their number in the SKOS Reference (S9, S37 hold by construction: concept,
scheme and collection IRIs can't meet); the quality checks follow qSKOS's list of issues. ``RULES`` look at one
state, ``CHANGE_RULES`` at the way from the base to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import NamedTuple

from registry.changes import ChangeSet, change_set, least_version
from registry.errors import Invalid, Problem
from registry.model import TEXT_PROPERTIES, WIDEST_CODE, Decision, Release, Version

LABEL_LENGTH = 500
NOTE_LENGTH = 20_000
JOINED_LENGTH = 30_000
"""UTF-16 units of all values of a property in a language: a cell holds 32,767, the marks between them too."""
DEPTH = 30
LISTED = 100
"""How many problems an answer lists; the total is said beside."""

LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*")
_LABELS = ("pref_label", "alt_label", "hidden_label")
_LINK_IRI = re.compile(r"(https?://|urn:)[^\s<>\"{}|\\^`\x00-\x20]+")


class Passage(NamedTuple):
    """What the change rules look at: the base, the new state, what changed, and what the editor declared."""

    base: Release | None
    new: Release
    changes: ChangeSet
    decision: Decision
    corrects: Release | None


def text_fault(text: str, *, limit: int, lines: bool = False) -> str:
    """Why a text may not be stored, in French; the empty string if it may.

    Refused: what is not NFC or holds surrogates, control, bidirectional or zero-width characters, unassigned code
    points (NFC would vary with Unicode's version), blanks at the edges, more than ``limit`` characters.
    """
    if not text:
        return "texte vide"
    if len(text) > limit:
        return f"texte de {len(text)} caractères, au plus {limit}"
    if text != text.strip():
        return "espaces en début ou en fin de texte"
    # Nearly every text is printable as a whole: only the others are looked at character by character.
    if not text.isprintable():
        for character in text:
            if not character.isprintable():
                category = unicodedata.category(character)
                if category == "Zs" or (lines and character in "\n\t"):
                    continue
                return f"caractère interdit U+{ord(character):04X} ({category})"
    if not unicodedata.is_normalized("NFC", text):
        return "texte non normalisé (NFC attendu)"
    return ""


def texts_are_clean(release: Release) -> Iterator[Problem]:
    """Every text passes the text gate: NFC, printable, trimmed, not too long, with a language."""
    for concept in release.concepts.values():
        for item in TEXT_PROPERTIES:
            is_label = item.name in _LABELS
            for language, text in getattr(concept, item.name):
                fault = text_fault(text, limit=LABEL_LENGTH if is_label else NOTE_LENGTH, lines=not is_label)
                if fault:
                    yield Problem("texts_are_clean", fault, (concept.code,), item.key, text, "texte propre, NFC")
                if not LANGUAGE.fullmatch(language):
                    yield Problem(
                        "texts_are_clean",
                        "langue absente ou mal écrite",
                        (concept.code,),
                        item.key,
                        language,
                        "une étiquette BCP 47 en minuscules, par exemple fr",
                    )
        for reference in concept.legal_basis:
            if fault := text_fault(reference, limit=LABEL_LENGTH):
                yield Problem("texts_are_clean", fault, (concept.code,), "legalBasis", reference, "texte propre, NFC")


def values_fit_a_cell(release: Release) -> Iterator[Problem]:
    """All values of a property in one language fit together into a cell of a spreadsheet."""
    for concept in release.concepts.values():
        for item in TEXT_PROPERTIES:
            values = getattr(concept, item.name)
            if sum(map(len, (text for _, text in values))) * 2 <= JOINED_LENGTH:
                continue
            for language in dict.fromkeys(language for language, _ in values):
                size = sum(len(text.encode("utf-16-le", "replace")) // 2 for own, text in values if own == language)
                if size > JOINED_LENGTH:
                    accepted = f"{JOINED_LENGTH} caractères au plus, toutes valeurs ensemble"
                    message = f"{size} caractères, qui ne tiennent pas dans une cellule de tableur"
                    yield Problem("values_fit_a_cell", message, (concept.code,), item.key, language, accepted)


def heading_is_complete(release: Release) -> Iterator[Problem]:
    """The nomenclature has a title, and its publisher and licence are IRIs that may be linked to."""
    nomenclature = release.nomenclature
    if not nomenclature.title:
        yield Problem("heading_is_complete", "titre absent", where="title", accepted="un titre en français")
    for key in ("title", "description"):
        for _, text in getattr(nomenclature, key):
            if fault := text_fault(text, limit=NOTE_LENGTH, lines=key == "description"):
                yield Problem("heading_is_complete", fault, where=key, value=text, accepted="texte propre, NFC")
    for key in ("iri", "publisher", "license"):
        value = getattr(nomenclature, key)
        if not _LINK_IRI.fullmatch(value):
            yield Problem("heading_is_complete", "IRI attendu", where=key, value=value, accepted="http(s): ou urn:")


def codes_have_their_shape(release: Release) -> Iterator[Problem]:
    """Every code matches the nomenclature's pattern, and no two codes differ by case alone."""
    seen: dict[str, str] = {}
    shape = release.nomenclature.code_shape
    for code in release.concepts:
        if not (shape.fullmatch(code) and WIDEST_CODE.fullmatch(code)):
            yield Problem("codes_have_their_shape", "code mal formé", (code,), value=code, accepted=shape.pattern)
        if (other := seen.setdefault(code.casefold(), code)) != code:
            yield Problem(
                "codes_have_their_shape",
                "deux codes ne diffèrent que par la casse",
                (other, code),
                accepted="des codes distincts sans tenir compte de la casse",
            )


def one_preferred_label_per_language(release: Release) -> Iterator[Problem]:
    """S14: at most one preferred label per language; and at least one, since a code alone says nothing."""
    for concept in release.concepts.values():
        languages = [language for language, _ in concept.pref_label]
        if not languages or len(languages) != len(set(languages)):
            yield Problem(
                "one_preferred_label_per_language",
                "libellé préféré absent ou répété dans une langue",
                (concept.code,),
                "prefLabel",
                " | ".join(text for _, text in concept.pref_label),
                "un libellé préféré par langue",
            )


def labels_are_disjoint(release: Release) -> Iterator[Problem]:
    """S13: a text is preferred, alternative or hidden label of a concept, never two of them."""
    for concept in release.concepts.values():
        seen = set(concept.pref_label)
        for name in ("alt_label", "hidden_label"):
            for pair in getattr(concept, name):
                if pair in seen:
                    yield Problem(
                        "labels_are_disjoint",
                        "le même libellé est donné deux fois à ce concept",
                        (concept.code,),
                        name,
                        pair[1],
                        "un libellé préféré, alternatif ou caché, pas deux à la fois",
                    )
                seen.add(pair)


def concept_has_a_definition_or_scope_note(release: Release) -> Iterator[Problem]:
    """A concept says what it means (qSKOS: undocumented concepts)."""
    for concept in release.concepts.values():
        if not (concept.definition or concept.scope_note):
            yield _warning("concept_has_a_definition_or_scope_note", "ni définition ni note", concept.code)


def references_exist(release: Release) -> Iterator[Problem]:
    """Broader, related and members are concepts of the release, and related is declared both ways."""
    for concept in release.concepts.values():
        for key in ("broader", "related"):
            for code in getattr(concept, key):
                if code not in release.concepts:
                    yield Problem(
                        "references_exist", "concept inconnu", (concept.code,), key, code, "un code de la version"
                    )
        for code in concept.related:
            other = release.concepts.get(code)
            if other is not None and concept.code not in other.related:
                yield Problem(
                    "references_exist",
                    "relation associative déclarée d'un seul côté",
                    (concept.code, code),
                    "related",
                    code,
                    "la même relation sur les deux concepts",
                )
    for group in release.groups:
        for code in group.members:
            if code not in release.concepts:
                yield Problem(
                    "references_exist", "membre inconnu", (group.code,), "members", code, "un code de la version"
                )


def groups_are_well_formed(release: Release) -> Iterator[Problem]:
    """A collection has a code of the widest shape, once, and a clean label in each language."""
    seen: set[str] = set()
    for group in release.groups:
        if not WIDEST_CODE.fullmatch(group.code) or group.code in seen:
            yield Problem(
                "groups_are_well_formed",
                "code de groupe mal formé ou répété",
                (group.code,),
                "notation",
                group.code,
                f"un code à lui, de la forme {WIDEST_CODE.pattern}",
            )
        seen.add(group.code)
        languages = [language for language, _ in group.pref_label]
        faults = [text_fault(text, limit=LABEL_LENGTH) for _, text in group.pref_label]
        if not languages or len(languages) != len(set(languages)) or any(faults):
            yield Problem(
                "groups_are_well_formed",
                next(filter(None, faults), "libellé de groupe absent ou répété dans une langue"),
                (group.code,),
                "prefLabel",
                " | ".join(text for _, text in group.pref_label),
                "un libellé par langue",
            )


def broader_has_no_cycle(release: Release) -> Iterator[Problem]:
    """No concept is broader than itself through any path, and no path is longer than ``DEPTH``."""
    upwards = {code: set(concept.broader) for code, concept in release.concepts.items()}
    circling = _on_a_circle(upwards)
    if circling:
        yield Problem(
            "broader_has_no_cycle",
            "ces concepts sont plus larges qu'eux-mêmes",
            tuple(circling[:LISTED]),
            "broader",
            accepted="une hiérarchie sans boucle",
        )
    deep = [code for code, depth in release.depths.items() if depth > DEPTH]
    if deep:
        yield Problem(
            "broader_has_no_cycle",
            "hiérarchie trop profonde",
            tuple(sorted(deep)[:LISTED]),
            "broader",
            accepted=f"{DEPTH} niveaux au plus",
        )


def _ancestors(release: Release, code: str) -> set[str]:
    """Codes above a code, ``DEPTH`` levels up at most: a longer path is refused by itself, and would cost too much."""
    found: set[str] = set()
    level = {code}
    for _ in range(DEPTH):
        level = {
            parent
            for child in level
            for parent in release.concepts[child].broader
            if parent not in found and parent in release.concepts
        }
        if not level:
            break
        found |= level
    return found


def related_is_not_hierarchical(release: Release) -> Iterator[Problem]:
    """S27: related is disjoint with broader, taken transitively."""
    for concept in release.concepts.values():
        if concept.related:
            above = _ancestors(release, concept.code)
            for code in concept.related:
                if code in above or code == concept.code:
                    yield Problem(
                        "related_is_not_hierarchical",
                        "associé et plus large à la fois",
                        (concept.code, code),
                        "related",
                        code,
                        "une relation associative ou hiérarchique, pas les deux",
                    )


def hierarchy_is_not_redundant(release: Release) -> Iterator[Problem]:
    """A broader concept is not also reached through another one (qSKOS: hierarchical redundancy)."""
    for concept in release.concepts.values():
        if len(concept.broader) > 1:
            for code in concept.broader:
                others = (parent for parent in concept.broader if parent != code and parent in release.concepts)
                if any(code in _ancestors(release, parent) for parent in others):
                    yield _warning("hierarchy_is_not_redundant", f"{code} est déjà au-dessus", concept.code)


def concepts_are_connected(release: Release) -> Iterator[Problem]:
    """An active concept is linked to another, or grouped, where the release has a structure (qSKOS: orphans)."""
    grouped = {code for group in release.groups for code in group.members}
    if not (release.narrower or grouped):
        return
    for code, concept in release.concepts.items():
        alone = not (concept.broader or concept.related or code in release.narrower or code in grouped)
        if alone and concept.status == "active":
            yield _warning("concepts_are_connected", "concept isolé", code)


def siblings_have_distinct_labels(release: Release) -> Iterator[Problem]:
    """No two active concepts under one broader concept share a preferred label."""
    for parent, labels in _active_labels(release, by_parent=True):
        for (_, text), codes in labels.items():
            if len(codes) > 1:
                yield Problem(
                    "siblings_have_distinct_labels",
                    f"même libellé préféré sous {parent or 'la racine'}",
                    tuple(codes),
                    "prefLabel",
                    text,
                    "un libellé que seul un concept porte à cet endroit",
                )


def labels_are_unique(release: Release) -> Iterator[Problem]:
    """No two active concepts of a release share a preferred label in one language (qSKOS: overlapping labels)."""
    for _, labels in _active_labels(release, by_parent=False):
        for (_, text), codes in labels.items():
            if len(codes) > 1:
                yield _warning("labels_are_unique", "même libellé préféré", *codes, value=text)


def _active_labels(release: Release, *, by_parent: bool) -> Iterable[tuple[str, dict[tuple[str, str], list[str]]]]:
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for code in sorted(release.concepts):
        concept = release.concepts[code]
        if concept.status == "active":
            for parent in (concept.broader or ("",)) if by_parent else ("",):
                for language, text in concept.pref_label:
                    found.setdefault(parent, {}).setdefault((language, text.casefold()), []).append(code)
    return found.items()


def labels_do_not_overlap(release: Release) -> Iterator[Problem]:
    """An alternative label names one active concept only, and is nobody else's preferred label."""
    owners: dict[tuple[str, str], set[str]] = {}
    for concept in release.concepts.values():
        if concept.status == "active":
            for language, text in (*concept.pref_label, *concept.alt_label):
                owners.setdefault((language, text.casefold()), set()).add(concept.code)
    preferred = {pair for _, labels in _active_labels(release, by_parent=False) for pair in labels}
    for (language, text), codes in sorted(item for item in owners.items() if len(item[1]) > 1):
        shared_preference = (language, text) in preferred and all(
            any(text == label.casefold() for _, label in release.concepts[code].pref_label) for code in codes
        )
        if not shared_preference:
            yield _warning("labels_do_not_overlap", "libellé porté par plusieurs concepts", *sorted(codes), value=text)


def active_stands_on_active(release: Release) -> Iterator[Problem]:
    """No active concept has a deprecated broader or related concept."""
    for concept in release.concepts.values():
        if concept.status == "active":
            for key in ("broader", "related"):
                for code in getattr(concept, key):
                    other = release.concepts.get(code)
                    if other is not None and other.status == "deprecated":
                        yield Problem(
                            "active_stands_on_active",
                            "un concept actif dépend d'un concept déprécié",
                            (concept.code,),
                            key,
                            code,
                            "un concept actif",
                        )


def levels_are_respected(release: Release) -> Iterator[Problem]:
    """Where levels are declared, each concept has one broader at most, and no depth beyond them (XKOS)."""
    levels = len(release.nomenclature.level_titles)
    if not levels:
        return
    for code, concept in release.concepts.items():
        if len(concept.broader) > 1 or release.depths.get(code, 0) > levels:
            yield Problem(
                "levels_are_respected",
                "plus d'un concept plus large, ou profondeur au-delà des niveaux déclarés",
                (code,),
                "broader",
                ", ".join(concept.broader),
                f"un seul concept plus large et {levels} niveaux au plus",
            )


def legal_dates_are_ordered(release: Release) -> Iterator[Problem]:
    """A scheme of aid does not end before it begins."""
    for concept in release.concepts.values():
        if concept.valid_from and concept.valid_until and concept.valid_until < concept.valid_from:
            yield Problem(
                "legal_dates_are_ordered",
                "dernier jour avant le premier",
                (concept.code,),
                "validUntil",
                concept.valid_until.isoformat(),
                f"un jour à partir du {concept.valid_from.isoformat()}",
            )


def lineage_is_sound(release: Release) -> Iterator[Problem]:
    """Links join concepts of the release, once each, without a circle."""
    seen: set[tuple[str, str, date]] = set()
    for link in sorted(release.links):
        # A set minus a view of keys would walk all the keys, for every link.
        for code in (code for code in dict.fromkeys((link.old, link.new)) if code not in release.concepts):
            yield Problem(
                "lineage_is_sound", "filiation vers un code inconnu", (link.old,), "lineage", code, "un code connu"
            )
        key = (link.old, link.new, link.date)
        if key in seen:
            yield Problem("lineage_is_sound", "filiation déclarée deux fois", (link.old, link.new), "lineage")
        seen.add(key)
    successors: dict[str, set[str]] = {}
    for link in release.links:
        if link.old != link.new:
            successors.setdefault(link.old, set()).add(link.new)
    for code in _on_a_circle(successors):
        yield Problem(
            "lineage_is_sound",
            "les successeurs tournent en rond",
            (code,),
            "lineage",
            accepted="une chaîne qui finit à un concept actif ou à un motif",
        )


def _on_a_circle(successors: dict[str, set[str]]) -> list[str]:
    """Nodes that come back to themselves or stand between two that do; not those that merely lead there or follow."""
    predecessors: dict[str, set[str]] = {}
    for code, targets in successors.items():
        for target in targets:
            predecessors.setdefault(target, set()).add(code)
    return sorted(_never_free(successors) & _never_free(predecessors))


def _never_free(successors: dict[str, set[str]]) -> set[str]:
    """What is left when nodes without predecessors are taken away again and again: circles and what follows them."""
    incoming = dict.fromkeys(successors, 0)
    for targets in successors.values():
        for code in targets:
            incoming[code] = incoming.get(code, 0) + 1
    free = [code for code, count in incoming.items() if not count]
    while free:
        code = free.pop()
        for target in successors.get(code, ()):
            incoming[target] -= 1
            if not incoming[target]:
                free.append(target)
    return {code for code, count in incoming.items() if count}


def deprecated_has_successor_or_reason(release: Release) -> Iterator[Problem]:
    """A deprecated concept has a successor, or a history note that says why there is none.

    Successors may chain: each deprecated concept on the way is held to the same, so every chain ends well.
    """
    for code, concept in release.concepts.items():
        succeeded = any(link.new != code for link in release.links_from.get(code, ()))
        if concept.status == "deprecated" and not succeeded and not concept.history_note:
            yield Problem(
                "deprecated_has_successor_or_reason",
                "concept déprécié sans successeur ni motif",
                (code,),
                "lineage",
                accepted="une filiation vers un autre code, ou une note historique qui dit pourquoi il n'y en a pas",
            )


def codes_never_disappear(passage: Passage) -> Iterator[Problem]:
    """A published code stays: it is deprecated, never removed."""
    for change in passage.changes.changes:
        if "removed" in change.kinds:
            yield Problem(
                "codes_never_disappear",
                "ce code publié a disparu",
                (change.code,),
                accepted="le concept déprécié, avec son successeur ou son motif",
            )


def changed_meaning_is_declared(passage: Passage) -> Iterator[Problem]:
    """A changed preferred label, definition or scope needs the editor's word "same meaning", or a link."""
    for change in passage.changes.changes:
        if {"relabelled", "redefined"}.intersection(change.kinds):
            linked = any(link.old == change.code for link in change.lineage)
            if not linked and change.code not in passage.decision.same_meaning:
                yield Problem(
                    "changed_meaning_is_declared",
                    "libellé ou définition modifié sans dire si le sens a changé",
                    (change.code,),
                    accepted="« même sens » pour ce code, ou une filiation",
                )


def lineage_only_grows(passage: Passage) -> Iterator[Problem]:
    """Lineage is cumulative: only an erratum may take a link back."""
    if passage.corrects is None:
        for link in sorted(passage.changes.links_removed):
            yield Problem(
                "lineage_only_grows",
                "filiation publiée retirée",
                (link.old, link.new),
                "lineage",
                accepted="la filiation publiée, ou un erratum",
            )


def version_is_deserved(passage: Passage) -> Iterator[Problem]:
    """A breaking change asks for a new MAJOR, another for a new MINOR; the days of validity never go back.

    An erratum is a MINOR of the release that it corrects, on the same day, in which nothing breaks.
    """
    try:
        version = Version(passage.new.version)
    except ValueError:
        yield Problem(
            "version_is_deserved", "version mal écrite", value=passage.new.version, accepted="MAJEURE.MINEURE"
        )
        return
    base = passage.corrects or passage.base
    if base is None:
        return
    compatibility = passage.changes.compatibility
    least = least_version(base.version, compatibility)
    if passage.corrects is not None:
        wrong = compatibility == "breaking" or version.major != Version(base.version).major or version < least
        if wrong or passage.new.valid_from != base.valid_from:
            yield Problem(
                "version_is_deserved",
                "un erratum ne change rien d'incompatible et garde la date d'effet",
                value=f"{version}, {passage.new.valid_from}",
                accepted=f"à partir de {least}, le {base.valid_from}",
            )
        return
    if version < least:
        yield Problem(
            "version_is_deserved",
            f"changement {'incompatible' if compatibility == 'breaking' else 'compatible'} depuis {base.version}",
            value=str(version),
            accepted=f"{least} ou plus",
        )
    if passage.new.valid_from < base.valid_from:
        yield Problem(
            "version_is_deserved",
            "date d'effet antérieure à celle de la version précédente",
            value=passage.new.valid_from.isoformat(),
            accepted=f"à partir du {base.valid_from.isoformat()}",
        )


Rule = Callable[[Release], Iterator[Problem]]
ChangeRule = Callable[[Passage], Iterator[Problem]]

RULES: tuple[Rule, ...] = (
    heading_is_complete,
    codes_have_their_shape,
    texts_are_clean,
    values_fit_a_cell,
    one_preferred_label_per_language,
    labels_are_disjoint,
    concept_has_a_definition_or_scope_note,
    references_exist,
    groups_are_well_formed,
    broader_has_no_cycle,
    related_is_not_hierarchical,
    hierarchy_is_not_redundant,
    concepts_are_connected,
    siblings_have_distinct_labels,
    labels_are_unique,
    labels_do_not_overlap,
    active_stands_on_active,
    levels_are_respected,
    legal_dates_are_ordered,
    lineage_is_sound,
    deprecated_has_successor_or_reason,
)
CHANGE_RULES: tuple[ChangeRule, ...] = (
    codes_never_disappear,
    changed_meaning_is_declared,
    lineage_only_grows,
    version_is_deserved,
)


def problems(
    new: Release, base: Release | None = None, *, decision: Decision | None = None, corrects: Release | None = None
) -> list[Problem]:
    """Every problem of a state and of the way to it, but the warnings accepted in writing.

    ``base`` is the release that ``new`` follows (None for a first one), ``corrects`` what an erratum mends.
    """
    decision = decision or Decision("")
    before = corrects or base or new.with_heading(version="", concepts={}, links=frozenset(), groups=())
    passage = Passage(base, new, change_set(before, new), decision, corrects)
    found = [problem for rule in RULES for problem in rule(new)]
    found += [problem for change_rule in CHANGE_RULES for problem in change_rule(passage)]
    return [problem for problem in found if not _accepted(problem, decision)]


def refuse(found: Iterable[Problem]) -> None:
    """Do nothing if there is no problem.

    :raises Invalid: with the first hundred problems and their number.
    """
    found = list(found)
    if found:
        raise Invalid(found[:LISTED], len(found))


def _accepted(problem: Problem, decision: Decision) -> bool:
    return problem.severity == "warning" and any(
        acceptance.rule == problem.rule and (not acceptance.codes or set(problem.codes) <= set(acceptance.codes))
        for acceptance in decision.accepted
    )


def _warning(rule: str, message: str, *codes: str, value: str = "") -> Problem:
    return Problem(rule, message, codes, value=value, severity="warning")
