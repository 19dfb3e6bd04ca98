"""How far a code has come on its route, step by step, and what that says of it at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from registry.crosswalks import Mapping as Row
from registry.crosswalks import Relation, compose
from registry.translation.answers import Found, Half, Refused, State, Step, Translation
from registry.translation.routes import Route


@dataclass(frozen=True, slots=True)
class Path:
    """How far a code has come: ``relation`` is that of the steps from ``cut`` on; ``first`` that of those before.

    ``cut`` is where the steps before and after do not join; -1: all join so far. ``over`` says that it goes no further.
    """

    code: str
    relation: Relation | None = "exactMatch"
    steps: tuple[Step, ...] = ()
    first: Relation | None = None
    cut: int = -1
    over: bool = False

    def joined(self, step: Step) -> Path:
        """The path with a step more; where that does not join, the second half begins there."""
        steps = (*self.steps, step)
        relation = compose(self.relation, step.relation) if self.relation and step.relation else None
        if relation is not None:
            return Path(step.code, relation, steps, self.first, self.cut)
        if self.cut >= 0:
            return Path(self.code, self.relation, self.steps, self.first, self.cut, True)
        first = self.relation if self.steps else None
        return Path(step.code, step.relation, steps, first, len(self.steps), step.relation is None)

    def halted(self) -> Path:
        """The path where nothing follows from a code that was reviewed and has no equivalent."""
        return Path(self.code, None, self.steps, self.relation, len(self.steps), True)


Paths = dict[str, list[Path]]
"""By the code that was asked, each of the ways that it has taken."""


def told(route: Route, code: str, labels: Mapping[str, str], started: Paths, paths: Sequence[Path]) -> Translation:
    """What the paths of one code say of it, once all hops are travelled.

    ``labels`` are those of the codes that the source holds, ``started`` the paths after the first hop.
    """
    sound = [path for path in paths if path.cut < 0]
    # Of several paths to one code with one relation, the shortest tells it.
    chosen: dict[tuple[str, Relation], Path] = {}
    for path in sorted(sound, key=lambda path: len(path.steps)):
        chosen.setdefault((path.code, cast(Relation, path.relation)), path)
    whole = len(route.hops) == 1 or _is_whole(started.get(code, ()), list(chosen.values()))
    found = tuple(_found(path, whole=whole) for _, path in sorted(chosen.items()))
    refused = tuple(_refused(path) for path in paths if path.cut >= 0)
    return Translation(code, labels.get(code), _state(route, code, labels, started, found, refused), found, refused)


def _state(
    route: Route,
    code: str,
    labels: Mapping[str, str],
    started: Paths,
    found: Sequence[Found],
    refused: Sequence[Refused],
) -> State:
    if found and found[0].relation == "noMatch":
        return "noMatch"
    if found:
        ended = all(one.status == "deprecated" and any("reason" in step.by for step in one.path) for one in found)
        return "deprecated" if ended else "mapped"
    if refused:
        return "refused"
    if code not in labels:
        return "unknown"
    return "unreviewed" if route.source.crosswalk is not None and code not in started else "unmapped"


def _found(path: Path, *, whole: bool) -> Found:
    last = path.steps[-1]
    mapping, alone = _mapping_alone(path)
    forwards = mapping is not None and path.steps[0].mapping is mapping and last.read_in.get("codeList") is None
    if mapping is not None and len(path.steps) == 1:
        justification = mapping.justification if forwards else "semapv:MappingInversion"
    else:
        justification = "semapv:MappingChaining"
    reason = str(last.by.get("reason", ""))
    return Found(
        relation=cast(Relation, path.relation),
        code=path.code,
        pref_label=last.label,
        status=last.status,
        read_in=last.read_in,
        path=path.steps,
        covers=bool(mapping and mapping.covers and forwards and alone and whole),
        weight=mapping.weight if mapping and forwards and alone and whole else "",
        confidence=mapping.confidence if mapping and alone else "",
        justification=justification,
        comment=(mapping.comment if mapping else "") or reason,
    )


def _mapping_alone(path: Path) -> tuple[Row | None, bool]:
    """The only mapping of a path, None if there are two or none; and whether every other step is exact."""
    mappings = [step.mapping for step in path.steps if step.mapping is not None]
    alone = all(step.mapping is not None or step.relation == "exactMatch" for step in path.steps)
    return (mappings[0], alone) if len(mappings) == 1 else (None, False)


def _is_whole(started: Sequence[Path], reached: Sequence[Path]) -> bool:
    """Whether each shared code that a local one is mapped to has come through unchanged, to one code of its own."""
    through = [path for path in reached if _mapping_alone(path)[1]]
    return len(through) == len(reached) == len(started)


def _refused(path: Path) -> Refused:
    first, second = Half(path.first, path.steps[: path.cut]), Half(path.relation, path.steps[path.cut :])
    if first.relation == "noMatch":
        why = "sans équivalent dans la version visée : rien ne s'en déduit ailleurs"
    elif second.path and second.path[0].by["type"] == "undeclared":
        why = "le code a cédé une part de son sens, et rien ne dit ce qu'il désigne encore"
    elif second.relation is None:
        why = "les deux sens se recouvrent en partie : rien de sûr n'en découle"
    else:
        why = f"{first.relation} puis {second.relation} : rien de sûr n'en découle"
    return Refused(why, first, second)
