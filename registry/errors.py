"""Everything that can go wrong, named once. Faces turn an error into an HTTP status or an exit code by its class.

Messages carry identifiers; the faces add the words for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, where it stands, and what would be accepted instead.

    ``codes`` are the concept codes concerned; ``where`` is a place in what was sent (``ligne 12, colonne
    code``, a JSON pointer, a parameter's name). ``message`` is French, for the person who mends it.
    """

    rule: str
    message: str
    codes: tuple[str, ...] = ()
    where: str = ""
    value: str = ""
    accepted: str = ""
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = self.where or ", ".join(self.codes)
        parts = [f"{place} : " if place else "", self.message]
        if self.value:
            parts.append(f" (reçu : {self.value[:120]!r})")
        if self.accepted:
            parts.append(f" ; attendu : {self.accepted}")
        return "".join(parts)


class SocleError(Exception):
    """Whatever the registry refuses or can't do."""


@dataclass
class Invalid(SocleError):
    """What was sent breaks rules; every problem found is listed, not only the first.

    ``total`` counts the problems when only the first hundred are listed.
    """

    problems: Sequence[Problem]
    total: int = 0

    def __post_init__(self) -> None:
        self.total = self.total or len(self.problems)
        super().__init__(self.problems, self.total)

    def __str__(self) -> str:
        return "; ".join(str(problem) for problem in self.problems[:5])


@dataclass
class NotFound(SocleError):
    """The thing asked for does not exist. ``hints`` may name where it does (releases, successors)."""

    kind: str
    name: str
    hints: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Conflict(SocleError):
    """Somebody was first, or what this rests on has changed. ``details`` may show both sides, as JSON."""

    def __init__(self, message: str = "", details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class AlreadyPublished(Conflict):
    """This version of this nomenclature, or this edition, exists and can't change."""


class TooLarge(SocleError):
    """More than the limit: the message says which limit."""


class Busy(SocleError):
    """The registry can't answer now; trying again later may work."""


class Damaged(SocleError):
    """Stored bytes are missing or are not those that were published, or the database is not usable."""


class WrongSetting(SocleError):
    """A setting's value is not acceptable: the message names variable, value and what is accepted."""


class VotesMissing(Conflict):
    """The nomenclature's releases need the committee's approval, and this content does not have it."""


class Unauthenticated(SocleError):
    """Nobody is known to act here: the token or the session is missing, unknown, expired or revoked."""


@dataclass
class Forbidden(SocleError):
    """Whoever acts may not do this: ``operation`` needs one of ``roles``, perhaps in one organisation."""

    operation: str
    roles: tuple[str, ...] = ()
    organisation: str = ""

    def __str__(self) -> str:
        where = f" in {self.organisation}" if self.organisation else ""
        return f"{self.operation} needs {' or '.join(self.roles) or 'another person'}{where}"


class KeyRefused(SocleError):
    """A signing key is missing, readable by others, or not one that the key set names: nothing was written."""


class Unverified(SocleError):
    """What was to be verified is not what was signed: the message names the object."""


class Stale(Conflict):
    """What was to be changed has changed since it was read."""
