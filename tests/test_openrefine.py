"""A department's table in OpenRefine itself, reconciled with a live registry."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from flask import Flask

from tests import openrefine
from tests.browser import served

TABLE = """code,libellé
001,Allocation personnalisée d'autonomie à domicile
002,Obligation alimentaire
003,Demande d'aides ménagères
004,Vidange du véhicule de service
"""


@pytest.mark.openrefine
def test_a_column_is_matched_and_extended_in_openrefine(app: Flask, tmp_path: Path) -> None:
    with served(app) as site, openrefine.running(tmp_path) as program:
        url = f"{site}/reconcile/types-aide@2.0"
        service = requests.get(url, timeout=30).json()
        project = program.project(TABLE.encode())

        project.reconcile("libellé", service, url)
        judged = [row[1]["r"] for row in project.rows()]
        project.extend("libellé", service, url, ["notation", "status"])
        extended = project.rows()

    assert [one["j"] for one in judged] == ["matched", "matched", "none", "none"]
    assert judged[1]["m"]["name"] == "Obligation alimentaire"
    assert "Aide ménagère aux personnes âgées" in {found["name"] for found in judged[2]["c"]}
    assert not [found for found in judged[3].get("c", ()) if found["score"] > 50]
    assert [row[0]["v"] for row in extended] == ["001", "002", "003", "004"], "codes are texts, and rows stay in order"
    assert [[cell["v"] for cell in row[2:]] for row in extended[:2]] == [
        ["TA-AUT-110", "active"],
        ["TA-TRA-100", "active"],
    ]
