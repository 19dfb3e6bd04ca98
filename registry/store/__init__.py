"""Every line of SQL, behind one ``Store``: a file a noun; rows never leave, one public method is one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import Damaged
from registry.store.blobs import Blobs
from registry.store.concepts import Concepts
from registry.store.consumers import Consumers
from registry.store.crosswalks import Crosswalks
from registry.store.database import SCHEMA, Database, migrate
from registry.store.draft_editions import DraftEditions
from registry.store.drafts import Drafts
from registry.store.impact import Impacts
from registry.store.journal import Journal
from registry.store.lineages import Lines
from registry.store.people import People
from registry.store.proposals import Proposals
from registry.store.votes import Votes
from registry.store.webhooks import Webhooks

__all__ = ["SCHEMA", "Store", "migrate"]


class Store(
    Concepts,
    Drafts,
    Votes,
    Crosswalks,
    DraftEditions,
    Impacts,
    Journal,
    Lines,
    People,
    Proposals,
    Webhooks,
    Consumers,
):
    """The registry's database and the files that it names. Thread-safe; values in, values out.

    Every method may raise Busy (try again) and Damaged (stored bytes or schema are not what they must be).
    """

    def __init__(self, url: str, blobs: Path) -> None:
        """Open the database at ``url`` (SQLAlchemy form) and the folder of release files; nothing is read yet."""
        super().__init__(Database(url), Blobs(blobs))

    def check_schema(self) -> None:
        """Do nothing if the schema is the one that this code needs.

        :raises Damaged: saying which version is there and which is needed.
        """
        found = self.database.schema()
        if found != SCHEMA:
            raise Damaged(f"schema {found or 'absent'}, this version of Socle needs {SCHEMA}: run `socle migrate`")

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Make what the methods called inside write one transaction: all of it, or nothing.

        :raises Busy: if too many writers wait already, or the lock is not had in time.
        """
        with self.database.writing():
            yield

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
