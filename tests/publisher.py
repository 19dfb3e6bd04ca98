"""A process that publishes drafts at once with others: ``python -m tests.publisher URL BLOBS PERSON``.

For each number of a draft that it reads, a line each, it publishes that draft and says which version came of it, or
``conflict``. It says ``ready`` first.
"""

from __future__ import annotations

import sys
from pathlib import Path

from registry import publishing
from registry.access import actor_of
from registry.errors import Conflict
from registry.keys import Keys
from registry.store import Store


def main(url: str, blobs: str, person: str) -> None:
    """Publish, as that person, each draft that is named."""
    store = Store(url, Path(blobs))
    signing_keys, actor = Keys.opened(Path(blobs).with_name("keys")), actor_of(store, person, door="terminal")
    _say("ready")
    for line in sys.stdin:
        try:
            _say(publishing.publish(store, int(line), signing_keys, actor=actor).version)
        except Conflict:
            _say("conflict")
    store.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
