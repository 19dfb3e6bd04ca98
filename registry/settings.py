"""The ``SOCLE_`` variables, read once, from the environment or a ``.env`` file in the working folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from registry.errors import WrongSetting


def _text(value: str) -> str:
    return value


def _url(value: str) -> str:
    if value and make_url(value).get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(value)
    return value


def _port(value: str) -> int:
    if not 1 <= int(value) <= 65535:
        raise ValueError(value)
    return int(value)


def _workers(value: str) -> int:
    if not 1 <= int(value) <= 64:
        raise ValueError(value)
    return int(value)


def _iri(value: str) -> str:
    if not value.startswith(("http://", "https://")) or not value.endswith("/"):
        raise ValueError(value)
    return value


def _flag(value: str) -> bool:
    if value not in ("yes", "no"):
        raise ValueError(value)
    return value == "yes"


def _hosts(value: str) -> tuple[str, ...]:
    return tuple(host.strip() for host in value.split(",") if host.strip())


def _setting(default: str, read: Callable[[str], Any], accepted: str, about: str) -> Any:
    return field(metadata={"default": default, "read": read, "accepted": accepted, "about": about})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of Socle; the variable of ``data_dir`` is ``SOCLE_DATA_DIR``, and so on."""

    data_dir: Path = _setting("var/", Path, "a folder", "where the database, release files and search index live")
    database_url: str = _setting(
        "", _url, "sqlite:///… or postgresql+psycopg://…", "the database; empty: socle.db under SOCLE_DATA_DIR"
    )
    host: str = _setting("127.0.0.1", _text, "an address", "the address that the service listens on")
    port: int = _setting("8000", _port, "a port from 1 to 65535", "the port that the service listens on")
    workers: int = _setting("1", _workers, "a number from 1 to 64", "processes that answer requests")
    base_iri: str = _setting(
        "https://socle.example/", _iri, "http(s)://…/", "what the IRIs of new nomenclatures begin with"
    )
    trusted_hosts: tuple[str, ...] = _setting(
        "", _hosts, "host names, commas between", "the Host headers that are answered; empty: all"
    )
    state_theme: bool = _setting(
        "no", _flag, "yes or no", "the State's colours and block-mark on pages, for operators entitled to them"
    )

    @property
    def database(self) -> str:
        """The database's URL, the default one spelt out."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'socle.db'}"

    @property
    def blobs(self) -> Path:
        """The folder of release files."""
        return self.data_dir / "blobs"

    @property
    def index(self) -> Path:
        """The folder of search indexes."""
        return self.data_dir / "index"

    def shown(self) -> dict[str, str]:
        """Every variable and its value, passwords masked."""
        values = {f"SOCLE_{item.name.upper()}": _shown(getattr(self, item.name)) for item in fields(self)}
        return values | {"SOCLE_DATABASE_URL": make_url(self.database).render_as_string(hide_password=True)}


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from the environment (the process's and ``.env`` unless one is given).

    :raises WrongSetting: for a value that is not accepted, and for a ``SOCLE_`` variable that does not exist.
    """
    if environment is None:
        environment = {**{name: value or "" for name, value in dotenv_values(".env").items()}, **os.environ}
    names = {f"SOCLE_{item.name.upper()}": item for item in fields(Settings)}
    unknown = sorted(name for name in environment if name.startswith("SOCLE_") and name not in names | _OF_TESTS)
    if unknown:
        raise WrongSetting(f"{unknown[0]} is not a setting of Socle; settings are {', '.join(names)}")
    values = {}
    for name, item in names.items():
        value = environment.get(name) or item.metadata["default"]
        try:
            values[item.name] = item.metadata["read"](value)
        except (ValueError, ArgumentError) as error:
            shown = _PASSWORD.sub(r"\1***\2", value)
            # The cause would repeat the value, password and all, in a traceback.
            cause = error if shown == value else None
            raise WrongSetting(f"{name} is {shown!r}; accepted: {item.metadata['accepted']}") from cause
    return Settings(**values)


_PASSWORD = re.compile(r"(://[^:/@]*:).*(@)")
"""What stands between an address's user and host."""

_OF_TESTS: dict[str, Any] = {"SOCLE_FAULTS": None, "SOCLE_FUZZ": None}
"""Variables that the project's own test commands read."""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
