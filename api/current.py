"""The registry of the running application: its store, its settings, its search index."""

from __future__ import annotations

from typing import NamedTuple, cast

from flask import Flask, current_app

from registry import finding
from registry.keys import Keys
from registry.model import Edition, today
from registry.search import Index
from registry.settings import Settings
from registry.store import Store


class _Registry(NamedTuple):
    store: Store
    settings: Settings


def bind(app: Flask, store: Store, settings: Settings) -> None:
    """Give the application its registry."""
    app.extensions["socle"] = _Registry(store, settings)


def store() -> Store:
    """The store of the application that answers this request."""
    return cast(_Registry, current_app.extensions["socle"]).store


def settings() -> Settings:
    """The settings of the application that answers this request."""
    return cast(_Registry, current_app.extensions["socle"]).settings


def keys() -> Keys:
    """The keys that sign for the registry, opened anew so that what is wrong with them now is seen.

    :raises KeyRefused: if there are none, or somebody but their owner may read them.
    """
    return Keys.opened(settings().keys)


def index_of(edition: Edition) -> Index:
    """The search index that holds one release, built if it is not there."""
    return finding.index_of(store(), settings().index, [edition], today())


def index() -> Index:
    """The search index of the releases in force today, built if it is not level with the database."""
    return finding.current_index(store(), settings().index, today())
