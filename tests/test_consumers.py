"""Who uses what: readers are anonymous, tokens are counted by organisation, and whoever pulled is warned in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from cli.main import main
from registry import consumers, drafts, editing, publishing
from registry.access import Actor
from registry.consumers import Tally, consumer_documents, warn
from registry.model import Content, today
from registry.store import Store
from registry.store import tables as t
from registry.store.consumers import Pull
from registry.webhooks import subscribe, tell
from tests.browser import served
from tests.conftest import running, settings_for
from tests.factories import (
    a_concept,
    a_deprecated_concept,
    a_draft,
    a_member,
    a_nomenclature,
    a_release,
    a_token,
    bearer,
    keys_of,
    published,
    the_operator,
)

READ = "/api/v1/nomenclatures/aides"


@pytest.fixture
def lone(sqlite_url: str, tmp_path: Path) -> Iterator[Store]:
    """An empty registry on SQLite, for what does not depend on the database."""
    found = Store(sqlite_url, tmp_path / "blobs")
    yield found
    found.close()


def rows(store: Store) -> list[tuple[Any, ...]]:
    """Every count that is kept: organisation, nomenclature, release, day, times."""
    query = (
        select(t.organisation.c.slug, t.nomenclature.c.slug, t.release.c.version, t.pull.c.day, t.pull.c["count"])
        .select_from(t.pull)
        .join(t.organisation)
        .join(t.nomenclature)
        .join(t.release, t.release.c.id == t.pull.c.release_id)
        .order_by(t.organisation.c.slug, t.nomenclature.c.slug, t.release.c.version, t.pull.c.day)
    )
    with store.database.reading() as connection:
        return [tuple(row) for row in connection.execute(query)]


def pulled(store: Store, organisation: str, version: str = "1.0", day: date | None = None, times: int = 1) -> None:
    """Have an organisation pull a release of ``aides`` on a day."""
    store.add_pulls({Pull(organisation, "aides", version, day or today()): times})


def breaking(version: str = "2.0", **changes: Any) -> Any:
    """A release in which A is no longer used."""
    return a_release(a_deprecated_concept("A"), a_concept("B"), version=version, **changes)


def test_reads_by_token_are_counted_by_organisation_release_and_day_and_nobody_else_is(
    database_url: str, tmp_path: Path
) -> None:
    with running(settings_for(tmp_path, database_url)) as app:
        client, store = app.test_client(), app.extensions["socle"].store
        tally: Tally = app.extensions["socle.tally"]
        published(store, a_release())
        published(store, a_release(a_concept("A"), a_concept("B"), a_concept("C"), version="1.1"))
        published(store, a_release(nomenclature=a_nomenclature(slug="autres", iri="https://socle.example/autres")))
        vendor = a_member(store, "reader", organisation="editeur-a")
        token, revoked = a_token(store, vendor), a_token(store, vendor)
        other = a_token(store, a_member(store, "mapper", organisation="dep-71"))
        store.revoke_token(2, datetime.now(UTC))
        mine = bearer(token)

        pinned = client.get(f"{READ}/concepts?release=1.0", headers=mine)
        client.get(f"{READ}/concepts/A?release=1.0", headers=mine)
        client.get(f"{READ}/concepts", headers=mine)  # In force: 1.1.
        client.get(f"{READ}/concepts", headers=mine)  # Kept by now: the view is not asked.
        client.get(f"{READ}/export?release=1.0&format=turtle", headers=mine)
        client.get(f"{READ}/releases/1.0", headers=mine)
        client.get(f"{READ}/diff?from=1.0&to=1.1", headers=mine)
        unchanged = client.get(
            f"{READ}/concepts?release=1.0", headers={**mine, "If-None-Match": pinned.headers["ETag"]}
        )
        client.get("/api/v1/changes?nomenclature=aides", headers=bearer(other))
        client.get("/api/v1/changes", headers=bearer(other))
        for uncounted in (
            client.get(f"{READ}/concepts?release=1.0"),
            client.get(f"{READ}/concepts?release=1.0", headers=bearer(revoked)),
            client.get(f"{READ}/concepts?release=1.0", headers=bearer("reg_1_" + "x" * 43)),
            client.get(f"{READ}/concepts/Z?release=1.0", headers=mine),
            client.get("/api/v1/nomenclatures", headers=mine),
            client.get("/api/v1/nomenclatures/nulle-part/concepts?release=1.0", headers=mine),
        ):
            assert uncounted.status_code in (200, 401, 404)
        before = rows(store)
        tally.write(store)
        after = rows(store)
        client.get(f"{READ}/concepts?release=1.0", headers=mine)
        tally.write(store)
        again = rows(store)

    day = today().isoformat()
    assert unchanged.status_code == 304
    assert before == []
    assert after == [
        ("dep-71", "aides", "1.1", day, 2),
        ("dep-71", "autres", "1.0", day, 1),
        ("editeur-a", "aides", "1.0", day, 5),
        ("editeur-a", "aides", "1.1", day, 3),
    ]
    assert again[2] == ("editeur-a", "aides", "1.0", day, 6)


def test_reads_at_the_doors_and_copies_are_use_too_and_a_token_is_written_nowhere(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    with running(settings_for(tmp_path, sqlite_url)) as app, served(app) as url:
        client, store = app.test_client(), app.extensions["socle"].store
        tally: Tally = app.extensions["socle.tally"]
        published(store, a_release())
        token = a_token(store, a_member(store, "reader", organisation="editeur-a"))
        system = "https://socle.example/aides"
        counts: dict[str, int] = {}

        for path in (
            f"/fhir/CodeSystem/$lookup?system={system}&code=A",
            f"/fhir/ValueSet/$expand?url={system}?vs",
            "/fhir/CodeSystem/aides-1.0",
            "/sdmx/v2/structure/codelist/SOCLE/CL_AIDES/1.0",
            f"/rest/v1/aides@1.0/label?uri={system}/A",
            "/reconcile/aides?queries=" + '{"q0":{"query":"Aide A"}}',
            "/rest/v1/vocabularies?lang=fr",
            "/fhir/metadata",
            "/catalog",
        ):
            # What is kept for everybody is use all the same when somebody known asks for it.
            assert client.get(path).status_code == 200
            assert client.get(path, headers=bearer(token)).status_code == 200, path
            tally.write(store)
            counts[path.split("?")[0]] = sum(row[4] for row in rows(store)) - sum(counts.values())

        secret = tmp_path / "token"
        secret.write_text(token + "\n")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # It would read the token, were it asked.
        copied = CliRunner().invoke(main, ["sync", url, str(tmp_path / "copy"), "--token-file", str(secret)])
        again = CliRunner().invoke(
            main,
            ["sync", url, str(tmp_path / "copy")],
            env={"SOCLE_SYNC_TOKEN": token, "SOCLE_DATA_DIR": str(tmp_path)},
        )
        before = sum(row[4] for row in rows(store))
        tally.write(store)
        copies = sum(row[4] for row in rows(store)) - before
        plain = CliRunner().invoke(
            main, ["sync", "http://registry.example", str(tmp_path / "other"), "--token-file", str(secret)]
        )
        secret.write_text("passwd:x\ny")
        misread = CliRunner().invoke(main, ["sync", url, str(tmp_path / "copy"), "--token-file", str(secret)])

    assert list(counts.values()) == [1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert (copied.exit_code, again.exit_code, plain.exit_code, misread.exit_code) == (0, 0, 2, 2)
    assert copies >= 3, "the head twice, and the release"
    kept = (path.read_bytes() for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert not any(token.encode() in data for data in kept)
    said = "".join(one.output for one in (copied, again, plain, misread)) + caplog.text
    assert token not in said
    assert "passwd" not in said


def test_counts_are_written_by_themselves_beside_a_request_and_bounded(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "MOST_HELD", 3)
    with running(settings_for(tmp_path, sqlite_url)) as app:
        client, store = app.test_client(), app.extensions["socle"].store
        published(store, a_release())
        mine = bearer(a_token(store, a_member(store, "reader", organisation="editeur-a")))
        tally: Tally = app.extensions["socle.tally"]

        for number in range(50):
            tally.note(f"reg_{number}_x", "aides", "1.0")
        held = len(tally._counts)
        tally.write(store)
        client.get(f"{READ}/concepts?release=1.0", headers=mine)
        early = tally.is_due
        for version in ("1.1", "1.2"):
            tally.note(mine["Authorization"].removeprefix("Bearer "), "aides", version)
        due = tally.is_due
        client.get("/livez")
        deadline = datetime.now(UTC) + timedelta(seconds=5)
        while not rows(store) and datetime.now(UTC) < deadline:
            pass
        found = rows(store)

    assert held == 15
    assert (early, due) == (False, True)
    assert found == [("editeur-a", "aides", "1.0", today().isoformat(), 1)]


def test_the_impact_report_names_who_pulled_of_late_what_and_when_last(lone: Store, tmp_path: Path) -> None:
    published(lone, a_release())
    published(lone, a_release(a_concept("A"), a_concept("B"), a_concept("C"), version="1.1"))
    for organisation in ("dep-71", "editeur-a", "editeur-b"):
        a_member(lone, "reader", organisation=organisation)
    a_week_ago = today() - timedelta(days=7)
    pulled(lone, "editeur-a", "1.0", a_week_ago, times=4)
    pulled(lone, "editeur-a", "1.0", a_week_ago, times=2)
    pulled(lone, "editeur-a", "1.1", today() - timedelta(days=30))
    pulled(lone, "editeur-b", "1.1")
    pulled(lone, "editeur-b", "1.0")
    pulled(lone, "dep-71", "1.0", today() - timedelta(days=91))
    draft = a_draft(lone, breaking())

    found = consumer_documents(consumers.consumers(lone, "aides"))
    shown = CliRunner().invoke(
        main,
        ["draft", "impact", str(draft), "--json"],
        env={
            "SOCLE_DATA_DIR": str(tmp_path),
            "SOCLE_DATABASE_URL": lone.database.engine.url.render_as_string(hide_password=False),
        },
    )

    month_ago, now = (today() - timedelta(days=30)).isoformat(), today().isoformat()
    assert found == [
        {
            "organisation": "editeur-a",
            "name": "Saône-et-Loire",
            "kind": "departement",
            "release": "1.0",
            "last": a_week_ago.isoformat(),
            "pulls": 7,
            "releases": [
                {"release": "1.0", "last": a_week_ago.isoformat(), "pulls": 6},
                {"release": "1.1", "last": month_ago, "pulls": 1},
            ],
        },
        {
            "organisation": "editeur-b",
            "name": "Saône-et-Loire",
            "kind": "departement",
            "release": "1.1",
            "last": now,
            "pulls": 2,
            "releases": [
                {"release": "1.1", "last": now, "pulls": 1},
                {"release": "1.0", "last": now, "pulls": 1},
            ],
        },
    ]
    assert orjson.loads(shown.output)["consumers"] == found

    lone.forget_pulls(today())
    assert [one.organisation.slug for one in consumers.consumers(lone, "aides", today())] == ["editeur-b"]


# --- Warned before it takes effect ---------------------------------------------------------------------------------


def approved(store: Store, release: Any, operator: Actor) -> int:
    """Have a draft of this release approved, as it is at once where no votes are asked for; return its number."""
    content = Content(release.concepts, release.links)
    draft = drafts.from_content(store, "aides", content, actor=operator)
    drafts.submit(store, draft, version=release.version, valid_from=release.valid_from, actor=operator)
    return draft


def test_whoever_pulled_is_warned_once_when_a_draft_that_breaks_is_approved_and_again_when_it_changed(
    store: Store,
) -> None:
    operator = the_operator(store)
    published(store, a_release())
    one, two = (a_member(store, "reader", organisation="editeur-a") for _ in range(2))
    stranger = a_member(store, "reader", organisation="editeur-b")
    pulled(store, "editeur-a")
    hook = subscribe(store, "https://vendor.example/", kinds=["breaking"], actor=stranger)
    in_a_year = today() + timedelta(days=365)

    first = approved(store, breaking(valid_from=in_a_year), operator)
    warned = [warn(store), warn(store)]
    notices = [store.unseen_notices(person.person) for person in (one, two, stranger)]
    tell(store, "https://socle.example/")
    [sent] = store.deliveries(hook.id)[0]

    assert warned == [1, 0]
    assert [len(some) for some in notices] == [1, 1, 0]
    assert notices[0][0].object == f"draft {first}"
    assert "aides : la version 2.0 est approuvée" in notices[0][0].text
    assert f"à partir du {in_a_year:%d/%m/%Y}" in notices[0][0].text
    assert "1 (A)" in notices[0][0].text
    body = orjson.loads(sent.body)
    assert (body["kind"], body["stage"], body["release"]) == ("breaking", "approved", "2.0")
    assert (body["validFrom"], body["total"], body["address"]) == (in_a_year.isoformat(), 1, None)

    # Edited and approved again it is another one, and told anew; published so, it is not told a third time.
    editing.put_concept(store, first, a_deprecated_concept("B"), actor=operator)
    assert warn(store) == 0
    drafts.submit(store, first, version="2.0", valid_from=in_a_year, actor=operator)
    assert [warn(store), warn(store)] == [1, 0]
    assert "2 (A, B)" in store.unseen_notices(one.person)[1].text
    publishing.publish(store, first, keys_of(store), actor=operator)
    assert warn(store) == 0
    tell(store, "https://socle.example/")
    assert len(store.deliveries(hook.id)[0]) == 2

    # What breaks nothing warns nobody.
    approved(
        store,
        a_release(
            a_deprecated_concept("A"), a_deprecated_concept("B"), a_concept("C"), version="2.1", valid_from=in_a_year
        ),
        operator,
    )
    assert warn(store) == 0
    assert len(store.unseen_notices(one.person)) == 2


def test_a_release_that_breaks_and_nobody_was_told_of_is_told_to_who_pulled_before_it(lone: Store) -> None:
    operator = the_operator(lone)
    published(lone, a_release())
    early = a_member(lone, "reader", organisation="editeur-a")
    late = a_member(lone, "reader", organisation="editeur-b")
    pulled(lone, "editeur-a", day=today() - timedelta(days=3))
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    pulled(lone, "editeur-b")

    published(lone, breaking(valid_from=today() + timedelta(days=30)), issued=now)
    count = [warn(lone), warn(lone)]

    assert count == [1, 0]
    [notice] = lone.unseen_notices(early.person)
    assert notice.object == "release aides@2.0"
    assert "la version 2.0 est publiée" in notice.text
    assert lone.unseen_notices(late.person) == []
    assert lone.unseen_notices(operator.person) == []


def test_nothing_is_looked_at_where_nobody_would_be_told(lone: Store) -> None:
    operator = the_operator(lone)
    published(lone, a_release())
    approved(lone, breaking(), operator)

    count = warn(lone)

    with lone.database.reading() as connection:
        kept = connection.execute(select(t.warning)).all()
    assert (count, kept) == (0, [])
