"""Settings: read once, refused with what would be accepted, shown without secrets."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from registry.errors import WrongSetting
from registry.settings import Settings, read


def test_without_variables_every_setting_has_its_default() -> None:
    found = read({})

    assert found.host == "127.0.0.1"
    assert found.port == 8000
    assert found.database == f"sqlite:///{Path('var').absolute() / 'socle.db'}"
    assert found.blobs == Path("var/blobs")
    assert found.index == Path("var/index")


def test_every_setting_is_read_from_its_variable() -> None:
    found = read(
        {
            "SOCLE_DATA_DIR": "/srv/socle",
            "SOCLE_DATABASE_URL": "postgresql+psycopg://socle@db/socle",
            "SOCLE_PORT": "80",
            "SOCLE_WORKERS": "4",
            "SOCLE_TRUSTED_HOSTS": "a.example, b.example,",
            "PATH": "/bin",
        }
    )

    assert (found.data_dir, found.port, found.workers) == (Path("/srv/socle"), 80, 4)
    assert found.database == "postgresql+psycopg://socle@db/socle"
    assert found.trusted_hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOCLE_PORT", "0"),
        ("SOCLE_PORT", "65536"),
        ("SOCLE_PORT", "http"),
        ("SOCLE_WORKERS", "0"),
        ("SOCLE_WORKERS", "many"),
        ("SOCLE_BASE_IRI", "socle.example/"),
        ("SOCLE_BASE_IRI", "https://socle.example"),
        ("SOCLE_PUBLIC_URL", "https://socle.example"),
        ("SOCLE_SMTP_URL", "smtp://"),
        ("SOCLE_SMTP_URL", "smtp://mail.example:x"),
        ("SOCLE_MAIL_FROM", "a@b.fr\r\nBcc: c@d.fr"),
        ("SOCLE_OIDC_SCOPES", "email"),
        ("SOCLE_DATABASE_URL", "mysql://localhost/socle"),
        ("SOCLE_DATABASE_URL", "socle.db"),
    ],
)
def test_a_wrong_value_names_the_variable_the_value_and_what_is_accepted(name: str, value: str) -> None:
    [field] = [field for field in fields(Settings) if f"SOCLE_{field.name.upper()}" == name]

    with pytest.raises(WrongSetting) as caught:
        read({name: value})

    assert str(caught.value) == f"{name} is {value!r}; accepted: {field.metadata['accepted']}"


def test_a_password_in_a_wrong_value_is_not_repeated() -> None:
    with pytest.raises(WrongSetting) as caught:
        read({"SOCLE_DATABASE_URL": "mysql://socle:s3cret@db/socle"})

    assert "SOCLE_DATABASE_URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_token_is_neither_shown_nor_repeated() -> None:
    found = read({"SOCLE_TOKEN": "reg_1_s3cret"})
    with pytest.raises(WrongSetting) as caught:
        read({"SOCLE_TOKEN": "s3cret"})

    assert found.token == "reg_1_s3cret"
    assert found.shown()["SOCLE_TOKEN"] == "***"
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_password_of_the_mail_server_is_neither_shown_nor_repeated() -> None:
    found = read({"SOCLE_SMTP_URL": "smtp://socle:s3cret@mail.example:587"})
    with pytest.raises(WrongSetting) as caught:
        read({"SOCLE_SMTP_URL": "http://socle:s3cret@mail.example"})

    assert found.shown()["SOCLE_SMTP_URL"] == "smtp://socle:***@mail.example:587"
    assert "s3cret" not in str(caught.value)


def test_links_lead_to_the_address_that_is_set_or_to_host_and_port() -> None:
    assert read({"SOCLE_HOST": "::1", "SOCLE_PORT": "81"}).address == "http://[::1]:81/"
    assert read({"SOCLE_PUBLIC_URL": "https://socle.example/"}).address == "https://socle.example/"
    assert read({"SOCLE_PUBLIC_URL": "https://socle.example/"}).sender == "socle@socle.example"


def test_a_variable_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(WrongSetting) as caught:
        read({"SOCLE_DATABSE_URL": ""})

    assert str(caught.value).startswith("SOCLE_DATABSE_URL is not a setting of Socle")
    assert "SOCLE_DATABASE_URL" in str(caught.value)


def test_what_the_test_commands_read_is_no_mistake() -> None:
    assert read({"SOCLE_FUZZ": "full", "SOCLE_FAULTS": "full"}) == read({})


def test_a_file_beside_is_read_and_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SOCLE_PORT=81\nSOCLE_HOST=::1\n")
    monkeypatch.setenv("SOCLE_PORT", "82")

    found = read()

    assert (found.host, found.port) == ("::1", 82)


def test_every_setting_is_shown_and_secrets_are_masked() -> None:
    shown = read({"SOCLE_DATABASE_URL": "postgresql+psycopg://socle:s3cret@db/socle"}).shown()

    assert set(shown) == {f"SOCLE_{field.name.upper()}" for field in fields(Settings)}
    assert shown["SOCLE_DATABASE_URL"] == "postgresql+psycopg://socle:***@db/socle"
    assert "s3cret" not in str(shown)


def test_every_setting_says_what_it_is_about_and_what_it_accepts() -> None:
    for field in fields(Settings):
        assert field.metadata["about"]
        assert field.metadata["accepted"]
