"""What a code of one list is in another: along crosswalks, lineage, or both, with the whole path that says so.

A **route** is resolved once, from two names: a crosswalk from a local list to its pivot, the lineage between the
release that this crosswalk aims at and the one that is read on the other side, a crosswalk back to another local list.
Codes then travel it hop by hop, in batches; relations are composed on the way (``crosswalks.compose``), and where
nothing sound follows, the two halves that do not join are kept beside what was found.

A local code is mapped, or reviewed and without equivalent, or not yet reviewed; the three are never mixed up, and none
of them is said of a code that stands on the far side of a hop.

Where a nomenclature declares its hierarchy generic, a shared code to which no local code of the other list is soundly
related is looked for above: at the nearest of its broader concepts that has one, else at the nearest of the narrower
ones. Nothing is climbed where something was found, nor towards another release: there, lineage alone speaks.

``routes`` resolves names to a route, ``travelling`` takes codes along it, ``paths`` composes what they meet on the way
and says what follows, ``answers`` is what is told of it, also as JSON and as a table.
"""

from registry.translation.answers import (
    COLUMNS,
    Found,
    Half,
    Refused,
    State,
    Step,
    Translation,
    document,
    place_name,
    table_rows,
)
from registry.translation.routes import End, Route, route
from registry.translation.travelling import MOST_FOUND, Answer, each, translate, translated

__all__ = [
    "COLUMNS",
    "MOST_FOUND",
    "Answer",
    "End",
    "Found",
    "Half",
    "Refused",
    "Route",
    "State",
    "Step",
    "Translation",
    "document",
    "each",
    "place_name",
    "route",
    "table_rows",
    "translate",
    "translated",
]
