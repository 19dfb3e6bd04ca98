"""The benchmarks run, from the generator to the last table; what they measure is for `make bench`, not for here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks import generator
from registry import rules


def test_the_generated_nomenclature_passes_every_rule_and_is_the_same_each_time() -> None:
    release = generator.release(1_000)

    found = rules.problems(release)

    assert found == []
    assert generator.release(1_000) == release
    assert sorted(set(release.depths.values())) == [1, 2, 3]
    assert len(release.links) == 10


def test_the_next_generated_release_changes_what_it_says() -> None:
    before = generator.release(1_000)

    after, touched = generator.changed(before, "1.1", 10)

    assert len(touched) == 10
    assert {code for code in before.concepts if before.concepts[code] != after.concepts[code]} == set(touched)


@pytest.mark.fuzz
def test_a_quick_run_measures_everything_once() -> None:
    """An ordinary run takes the impact alone; ``make fuzz`` takes every part."""
    whole = os.environ.get("SOCLE_FUZZ") == "full"
    command = [sys.executable, "-m", "benchmarks", "--quick", *(() if whole else ("--only", "impact"))]

    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert ran.returncode == 0, ran.stderr
    parts = ("CSV, 10 changes, sqlite", "empty Flask route", "search, top ten", "changes since", "full export")
    for what in ("impact of a draft", *((*parts, "parquet, socle recode") if whole else ())):
        assert what in ran.stdout
