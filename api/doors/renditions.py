"""A release in one of its formats, as bytes: those kept since it was published, else written now."""

from __future__ import annotations

from api import consumption, current
from registry.errors import NotFound
from registry.formats import FORMATS
from registry.model import Edition


def written(edition: Edition, format: str) -> bytes:
    """The release in a format. One that was published before Socle knew the format has no file of it: it is made.

    :raises Damaged: if the bytes of its file are not those that were published.
    """
    store = current.store()
    consumption.note((edition.nomenclature, edition.version))
    try:
        _, path = store.rendition(edition.nomenclature, edition.version, format)
    except NotFound:
        return b"".join(FORMATS[format].write(store.release(edition.nomenclature, edition.version)))
    return path.read_bytes()
