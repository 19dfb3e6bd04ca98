"""What users meet by name is documented: a command, setting, error, format or rule that no page names fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from api.errors import STATUS
from cli.main import EXIT_CODES, main
from registry import errors, rules
from registry.columns import ROLES
from registry.formats import FORMATS
from registry.formats.crosswalks import CROSSWALK_FORMATS
from registry.settings import Settings

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def _commands(group: click.Group, name: str) -> Iterator[str]:
    context = click.Context(group)
    for inner in group.list_commands(context):
        command = group.get_command(context, inner)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {inner}")
        else:
            yield f"{name} {inner}"


def test_every_command_is_in_the_reference() -> None:
    missing = [command for command in _commands(main, "socle") if f"`{command}" not in REFERENCE]

    assert missing == []


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    rows = {f"| `SOCLE_{item.name.upper()}` |" for item in fields(Settings)}

    assert [row for row in rows if row not in REFERENCE] == []
    assert all(f"`{item.metadata['default']}`" in REFERENCE for item in fields(Settings) if item.metadata["default"])


def test_every_error_is_in_the_reference_with_its_status_and_exit_code() -> None:
    statuses = {kind.__name__: str(status) for kind, status, *_ in STATUS}

    direct = errors.SocleError.__subclasses__()
    for kind in direct:
        for error in (kind, *kind.__subclasses__()):
            row = re.search(rf"^\| `{error.__name__}` \|.*$", REFERENCE, re.MULTILINE)
            assert row, f"{error.__name__} is not in docs/reference.md"
            assert statuses.get(error.__name__, "–") in row[0]
            code = next(code for known, code in EXIT_CODES.items() if issubclass(error, known))
            assert row[0].endswith(f" {code} |")


@pytest.mark.parametrize("rule", [*rules.RULES, *rules.CHANGE_RULES], ids=lambda rule: rule.__name__)
def test_every_rule_is_in_the_reference_in_its_own_words(rule: rules.Rule) -> None:
    sentence = (rule.__doc__ or "").strip().splitlines()[0]

    assert f"| `{rule.__name__}` | {sentence} |" in REFERENCE


def test_every_format_is_in_the_reference() -> None:
    assert [name for name in FORMATS if f"| `{name}` |" not in REFERENCE] == []
    crosswalks = REFERENCE.partition("Crosswalks go out")[2]
    rows = [f"| `{item.name}` |.*`.{item.extension}` |" for item in CROSSWALK_FORMATS.values()]
    assert [row for row in rows if not re.search(row, crosswalks)] == []


def test_every_role_of_a_column_is_in_the_reference() -> None:
    assert [role for role in ROLES if f"`{role}`" not in REFERENCE] == []


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_shows_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()

    assert "make run" in readme
    assert "make test" in readme
