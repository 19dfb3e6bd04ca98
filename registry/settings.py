"""The ``SOCLE_`` variables, read once, from the environment or a ``.env`` file in the working folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


def _proxies(value: str) -> int:
    if not 0 <= int(value) <= 5:
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


def bearer_token(value: str) -> str:
    """A token, or nothing; whether it is good is checked where it is used.

    :raises ValueError: if it can't be one, without repeating it.
    """
    if value and not re.fullmatch("reg_[A-Za-z0-9_-]+", value):
        raise ValueError("not a token")
    return value


def _address(value: str) -> str:
    return _iri(value) if value else value


def _mail(value: str) -> str:
    found = urlsplit(value)
    if value and (found.scheme not in ("smtp", "smtps") or not found.hostname or found.path.strip("/")):
        raise ValueError(value)
    _ = found.port  # Reading it refuses what is no port.
    return value


def _provider(value: str) -> str:
    parts = urlsplit(value)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if value and (not (parts.scheme == "https" or local) or not parts.hostname or parts.query or parts.fragment):
        raise ValueError(value)
    return value


def _scopes(value: str) -> str:
    if "openid" not in value.split():
        raise ValueError(value)
    return value


def _sender(value: str) -> str:
    if value and not re.fullmatch(r"[^\s@<>,;:]+@[^\s@<>,;:]+", value):
        raise ValueError(value)
    return value


def _hosts(value: str) -> tuple[str, ...]:
    return tuple(host.strip() for host in value.split(",") if host.strip())


def _setting(default: str, read: Callable[[str], Any], accepted: str, about: str) -> Any:
    return field(metadata={"default": default, "read": read, "accepted": accepted, "about": about})


LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts of the machine itself, to which plain HTTP is no risk."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of Socle; the variable of ``data_dir`` is ``SOCLE_DATA_DIR``, and so on."""

    data_dir: Path = _setting("var/", Path, "a folder", "where the database, release files and search index live")
    database_url: str = _setting(
        "", _url, "sqlite:///… or postgresql+psycopg://…", "the database; empty: socle.db under SOCLE_DATA_DIR"
    )
    keys_dir: str = _setting(
        "", _text, "a folder", "where the signing keys lie, private to their owner; empty: keys under SOCLE_DATA_DIR"
    )
    host: str = _setting("127.0.0.1", _text, "an address", "the address that the service listens on")
    port: int = _setting("8000", _port, "a port from 1 to 65535", "the port that the service listens on")
    workers: int = _setting("1", _workers, "a number from 1 to 64", "processes that answer requests")
    proxies: int = _setting(
        "0", _proxies, "a number from 0 to 5", "proxies of yours before the service, which say for whom they ask"
    )
    base_iri: str = _setting(
        "https://socle.example/", _iri, "http(s)://…/", "what the IRIs of new nomenclatures begin with"
    )
    public_url: str = _setting(
        "", _address, "http(s)://…/", "where people reach the service, for links; empty: SOCLE_HOST and SOCLE_PORT"
    )
    trusted_hosts: tuple[str, ...] = _setting(
        "", _hosts, "host names, commas between", "the Host headers that are answered; empty: all"
    )
    token: str = _setting(
        "", bearer_token, "a token, reg_…", "the token by which commands act, in the place of the local operator"
    )
    sync_token: str = _setting(
        "", bearer_token, "a token, reg_…", "the token by which `socle sync` says who asks; empty: it asks anonymously"
    )
    secret_file: str = _setting(
        "", _text, "a file", "the secret that guards forms, private to its owner; empty: secret under SOCLE_DATA_DIR"
    )
    smtp_url: str = _setting(
        "", _mail, "smtp(s)://user:password@host:port", "where mail is handed in; empty: none is sent"
    )
    mail_from: str = _setting(
        "", _sender, "an e-mail address", "who mail is from; empty: socle at the host of SOCLE_PUBLIC_URL"
    )
    webhooks_hosts: tuple[str, ...] = _setting(
        "", _hosts, "host names, commas between", "hosts of webhooks that may be internal or without TLS; empty: none"
    )
    oidc_issuer: str = _setting(
        "", _provider, "https://…", "the OpenID provider by which people sign in; empty: by links that are printed"
    )
    oidc_client_id: str = _setting("", _text, "a client id", "what the provider calls this registry")
    oidc_client_secret_file: str = _setting(
        "", _text, "a file", "what this registry proves itself to the provider by, private to its owner"
    )
    oidc_scopes: str = _setting(
        "openid given_name usual_name email siret",
        _scopes,
        "scopes, openid among them",
        "what the provider is asked for",
    )
    oidc_acr: str = _setting("", _text, "acr values", "how surely the provider must know people; empty: as it likes")
    oidc_name: str = _setting("ProConnect", _text, "a name", "what the provider is called on the sign-in page")
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
    def keys(self) -> Path:
        """The folder of signing keys."""
        return Path(self.keys_dir) if self.keys_dir else self.data_dir / "keys"

    @property
    def secret(self) -> Path:
        """The file of the secret that guards forms."""
        return Path(self.secret_file) if self.secret_file else self.data_dir / "secret"

    @property
    def address(self) -> str:
        """Where people reach the service, with a final slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}/"

    @property
    def sender(self) -> str:
        """Whom mail is from."""
        return self.mail_from or f"socle@{urlsplit(self.address).hostname}"

    @property
    def index(self) -> Path:
        """The folder of search indexes."""
        return self.data_dir / "index"

    def shown(self) -> dict[str, str]:
        """Every variable and its value, passwords masked."""
        values = {f"SOCLE_{item.name.upper()}": _shown(getattr(self, item.name)) for item in fields(self)}
        return values | {
            "SOCLE_DATABASE_URL": make_url(self.database).render_as_string(hide_password=True),
            "SOCLE_TOKEN": "***" if self.token else "",
            "SOCLE_SYNC_TOKEN": "***" if self.sync_token else "",
            "SOCLE_SMTP_URL": _PASSWORD.sub(r"\1***\2", self.smtp_url),
        }


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
            shown = "***" if name in _SECRETS else _PASSWORD.sub(r"\1***\2", value)
            # The cause would repeat the value, password and all, in a traceback.
            cause = error if shown == value else None
            raise WrongSetting(f"{name} is {shown!r}; accepted: {item.metadata['accepted']}") from cause
    settings = Settings(**values)
    if settings.oidc_issuer and not (settings.oidc_client_id and settings.oidc_client_secret_file):
        raise WrongSetting("SOCLE_OIDC_ISSUER needs SOCLE_OIDC_CLIENT_ID and SOCLE_OIDC_CLIENT_SECRET_FILE beside it")
    return settings


_PASSWORD = re.compile(r"(://[^:/@]*:).*(@)")
"""What stands between an address's user and host."""

_SECRETS = ("SOCLE_TOKEN", "SOCLE_SYNC_TOKEN")
"""Variables whose value is never shown."""

_OF_TESTS: dict[str, Any] = {"SOCLE_FAULTS": None, "SOCLE_FUZZ": None}
"""Variables that the project's own test commands read."""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
