"""What is decided with a release beside its content: title, legal basis, acts, warnings accepted in writing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from registry import rules
from registry.errors import Problem
from registry.model import WIDEST_CODE, Content, Decision

TITLE_LENGTH = 200
REASON_LENGTH = 2_000

ACTS = re.compile(
    r"[A-Z]{3}[A-Z0-9][0-9]{7}[A-Z]"  # NOR
    r"|(https?://[a-z0-9.-]+)?/eli/[a-z_]+/[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"  # ELI
)
ACTS_ACCEPTED = "un NOR (SSAA2412345D) ou un ELI (/eli/decret/2024/5/13/SSAA2412345D/jo/texte)"


def with_same_meaning(decision: Decision, content: Content) -> Decision:
    """A decision with the codes, besides its own, of which a file says that they mean what they meant."""
    return replace(decision, same_meaning=tuple(sorted({*decision.same_meaning, *content.same_meaning})))


def heading_problems(*, title: str, decision: Decision) -> Iterator[Problem]:
    """What is refused at once in what a draft says beside its concepts."""
    for name, text, limit in (("title", title, TITLE_LENGTH), ("basis", decision.basis, REASON_LENGTH)):
        if text and (fault := rules.text_fault(text, limit=limit, lines=name == "basis")):
            yield Problem("draft_is_sound", fault, where=name, value=text, accepted="texte propre, NFC")
    for act in decision.acts:
        if not ACTS.fullmatch(act):
            yield Problem("draft_is_sound", "acte mal désigné", where="acts", value=act, accepted=ACTS_ACCEPTED)
    known = [rule.__name__ for rule in (*rules.RULES, *rules.CHANGE_RULES)]
    for item in decision.accepted:
        if item.rule not in known:
            yield Problem("draft_is_sound", "règle inconnue", where="accepted", value=item.rule)
        if fault := rules.text_fault(item.reason, limit=REASON_LENGTH, lines=True):
            yield Problem("draft_is_sound", fault, item.codes, "accepted", item.reason, "un motif écrit")
    for code in (*decision.same_meaning, *(code for item in decision.accepted for code in item.codes)):
        if not WIDEST_CODE.fullmatch(code):
            yield Problem("draft_is_sound", "code mal formé", where="sameMeaning", value=code)
