"""A file that is sent in a form of several steps: the page carries it from one to the next, the server keeps none.

What the form carries is the file itself, compressed, as text. So a step can be gone over as often as one likes without
choosing the file again, and nothing has to be thrown away when somebody leaves in the middle.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import NamedTuple

from flask import request

LARGEST = 3_500_000
"""The largest file in bytes: carried as text, it still is within the largest body of a request."""

FILE, CARRIED, NAME = "fichier", "porte", "nom"
"""The fields of a form: the file that is chosen, the one that the page carries, what that one is called."""

_LONGEST_NAME = 200


class Upload(NamedTuple):
    """A file as it came, with what it is called."""

    name: str
    data: bytes

    @property
    def carried(self) -> str:
        """The file as the next form carries it."""
        return base64.b64encode(zlib.compress(self.data)).decode()


def sent() -> tuple[Upload | None, str]:
    """The file that this request sends, chosen or carried; or none, and in French what is wrong with that."""
    chosen = request.files.get(FILE)
    if chosen is not None and chosen.filename:
        return _bounded(Upload(chosen.filename[:_LONGEST_NAME], chosen.stream.read(LARGEST + 1)))
    given = request.form.get(CARRIED, "")
    if not given:
        return None, "Choisissez un fichier."
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(given, validate=True), LARGEST + 1)
    except (binascii.Error, zlib.error):
        return None, "Le fichier que portait cette page est abîmé : choisissez-le de nouveau."
    return _bounded(Upload(request.form.get(NAME, "")[:_LONGEST_NAME], data))


def _bounded(upload: Upload) -> tuple[Upload | None, str]:
    if len(upload.data) > LARGEST:
        return None, "Le fichier dépasse 3,5 Mo."
    return (upload, "") if upload.data else (None, "Le fichier est vide.")
