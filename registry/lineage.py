"""What became of a code from one release to another, along the declared lineage: forwards, backwards, or both.

Releases form a tree: each follows the one that it was made from, and an erratum of an older release is a side branch.
The way from one release to another goes back to what both come from, then on; each release on it is one **passage**,
and a passage is what the links that the release added say:

- a code that no added link leaves has kept its meaning: it passes as itself;
- a code passes along its links of the earliest day, then along later ones of the code that it reached. Links of one day
  are one event, so none of them leads on from another, but where the code that is reached is deprecated: a chain ends
  at an active concept, or at one whose reason says why nothing succeeds it;
- a code that links leave without a link to itself, and that stays active, gave away something that nobody measured:
  that it still means the same is not declared, so nothing is claimed of it.

A passage is travelled backwards as the exact converse. A link that an erratum took back is not travelled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from registry.crosswalks import LINEAGE, Relation, turned
from registry.model import Edition, Link
from registry.store.lineages import Lineages


class Leg(NamedTuple):
    """One link travelled: the code that it leads to, and the relation to it in the direction travelled.

    ``relation`` is None where no relation says it: the meanings overlap, or (``link`` is None) what the code still
    means after giving some of it away is not declared.
    """

    code: str
    relation: Relation | None
    link: Link | None


Chain = tuple[Leg, ...]
Passage = Mapping[str, tuple[Chain, ...]]
"""From a code to each of the ways that it takes; a code that is not there passes as itself."""


class Way(NamedTuple):
    """The passages from one release to another, and the numbers of the releases on it, both ends included."""

    passages: tuple[Passage, ...]
    numbers: tuple[int, ...]


def way(known: Lineages, editions: Sequence[Edition], source: int, target: int) -> Way:
    """The way between two releases of a nomenclature, by their numbers, given all of its releases."""
    follows = {edition.number: edition.follows for edition in editions}
    up, down = _line(follows, source), _line(follows, target)
    shared = next(number for number in up if number in set(down))
    back, on = up[: up.index(shared)], down[: down.index(shared)][::-1]
    passages: list[Passage] = [converse(_passage(known, follows[number], number, source)) for number in back]
    passages += [_passage(known, follows[number], number, target) for number in on]
    return Way(tuple(passages), (*back, shared, *on))


def _line(follows: Mapping[int, int], number: int) -> list[int]:
    """A release and those that it was made from, back to nothing (0)."""
    found = [number]
    while number:
        number = follows[number]
        found.append(number)
    return found


def _passage(known: Lineages, before: int, after: int, end: int) -> Passage:
    """What the links that release ``after`` added say, but for those that the release at the end takes back."""
    added = [link for link, span in known.links if span.holds(after) and not span.holds(before) and span.holds(end)]
    all_of = [link for link, span in known.links if span.holds(after) and span.holds(end)] if added else []
    deprecated = {code for code, spans in known.deprecated.items() if any(span.holds(after) for span in spans)}
    return passage(added, all_of, deprecated)


def passage(added: Iterable[Link], known: Iterable[Link], deprecated: Collection[str]) -> dict[str, tuple[Chain, ...]]:
    """What the links that a release adds say, given all that it knows and which codes are deprecated in it."""
    events: dict[str, dict[date, list[Link]]] = {}
    for link in sorted(added):
        events.setdefault(link.old, {}).setdefault(link.date, []).append(link)
    successors: dict[str, list[Link]] = {}
    for link in sorted(known):
        if link.old in deprecated and link.new != link.old:
            successors.setdefault(link.old, []).append(link)

    def onward(code: str, after: date) -> list[Link]:
        later = [day for day in events.get(code, ()) if day > after]
        return events[code][min(later)] if later else successors.get(code, [])

    def chains(code: str, after: date, before: Chain, seen: frozenset[str]) -> Iterator[Chain]:
        # No published lineage goes in a circle; what is not published yet might.
        links = [link for link in onward(code, after) if link.new == code or link.new not in seen]
        for link in links:
            leg = Leg(link.new, LINEAGE[link.kind], link)
            yield from chains(link.new, max(after, link.date), (*before, leg), seen | {link.new})
        if not links:
            yield before
        elif code not in deprecated and all(link.new != code for link in links):
            yield from chains(code, links[0].date, (*before, Leg(code, None, None)), seen)

    return {code: tuple(dict.fromkeys(chains(code, date.min, (), frozenset({code})))) for code in events}


def converse(forwards: Passage) -> dict[str, tuple[Chain, ...]]:
    """The same passage travelled backwards: each way turned round, relation by relation."""
    found: dict[str, list[Chain]] = {}
    for code, chains in forwards.items():
        for chain in chains:
            ends = [code, *(leg.code for leg in chain)]
            back = tuple(
                Leg(ends[place], turned(leg.relation), leg.link) for place, leg in reversed([*enumerate(chain)])
            )
            found.setdefault(ends[-1], []).append(back)
    for code in [code for code in found if code not in forwards]:
        # It passed as itself besides receiving others, if it was there before; if it was not, it leads nowhere.
        found[code].insert(0, ())
    # What was left for good is reached by nothing: it leads nowhere, and is not itself either.
    return {code: tuple(found.get(code, ())) for code in {*found, *forwards}}
