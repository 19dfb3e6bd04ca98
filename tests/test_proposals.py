"""Proposals: from the form of anybody to the release that answers, through API, command line and pages."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from cli.committee import due
from cli.main import main
from registry import drafts, mail, proposals, publishing
from registry.access import ANYONE, Actor
from registry.errors import Busy, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from registry.proposals import HELD_AN_HOUR, HELD_BY_ALL, KEPT_UNCONFIRMED, proposal_document
from registry.settings import Settings
from registry.store import Store, migrate
from registry.store.proposals import Proposal
from tests.conftest import running, settings_for
from tests.factories import (
    a_concept,
    a_draft,
    a_member,
    a_release,
    a_token,
    bearer,
    keys_of,
    published,
    the_operator,
    with_the_schema_of_before,
)

API = "/api/v1"
SAID: dict[str, Any] = {"what": "Préciser la définition.", "why": "La loi a changé."}


@pytest.fixture
def known(store: Store) -> Store:
    """A registry with one release of a nomenclature."""
    published(store, a_release())
    return store


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a registry with one release, on each kind of database."""
    with running(settings_for(tmp_path, database_url)) as app:
        published(app.extensions["socle"].store, a_release())
        yield app.test_client()


@pytest.fixture
def registry(client: FlaskClient) -> Store:
    """The store behind the client."""
    found: Store = client.application.extensions["socle"].store
    return found


def a_proposal(store: Store, **changes: Any) -> Proposal:
    """A proposal that is public, of somebody known unless another actor is given."""
    given: dict[str, Any] = {"code": "A", **SAID, **changes}
    return proposals.propose(store, "aides", actor=given.pop("actor", None) or a_member(store, "proposer"), **given)


def a_held_one(store: Store, **changes: Any) -> Proposal:
    """A proposal of somebody unknown, held until it is confirmed."""
    return a_proposal(store, **{"actor": ANYONE, "email": "claude@exemple.fr", **changes})


def an_editor(store: Store) -> Actor:
    """Somebody who decides on proposals."""
    return a_member(store, "editor", organisation="comite")


def states(store: Store) -> list[tuple[int, str]]:
    """The public proposals, and what became of each."""
    return [(one.id, one.state) for one in store.proposals()[0]]


# What can be asked


def test_whoever_is_known_asks_and_it_is_public_at_once(known: Store) -> None:
    made = a_proposal(known, legal_basis="CASF, art. L. 231-1")

    assert proposal_document(known.proposal(made.id)) == {
        "id": made.id,
        "nomenclature": "aides",
        "code": "A",
        **SAID,
        "legalBasis": "CASF, art. L. 231-1",
        "created": made.created.isoformat().replace("+00:00", "Z"),
        "state": "received",
        "draft": None,
        "reason": None,
        "release": None,
    }


def test_a_concept_that_is_missing_can_be_asked_for(known: Store) -> None:
    assert a_proposal(known, code="").code == ""


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"code": "Z"}, "code"),
        ({"code": "A" * 10_000}, "code"),
        ({"what": ""}, "what"),
        ({"what": " \n "}, "what"),
        ({"what": "x" * 4_001}, "what"),
        ({"why": "a\x00b"}, "why"),
        ({"why": "\u202e"}, "why"),
        ({"legal_basis": "x" * 1_001}, "legalBasis"),
    ],
)
def test_what_is_refused_is_named_by_its_field(known: Store, wrong: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        a_proposal(known, **wrong)

    assert [problem.where for problem in caught.value.problems] == [field]
    assert states(known) == []


def test_what_is_asked_of_no_nomenclature_is_not_found(known: Store) -> None:
    with pytest.raises(NotFound):
        proposals.propose(known, "nulle-part", actor=a_member(known, "proposer"), **SAID)


# Held until confirmed


def test_what_anybody_asks_is_held_and_seen_by_nobody_until_it_is_confirmed(known: Store) -> None:
    made = a_held_one(known)

    assert states(known) == []
    with pytest.raises(NotFound):
        proposals.seen(known, made.id)
    proposals.confirm(known, made.id, made.confirmation, actor=ANYONE)
    assert states(known) == [(made.id, "received")]
    assert len(made.confirmation) == 43


@pytest.mark.parametrize("wrong", ["", "x", "é", "x" * 43])
def test_nothing_but_what_was_sent_confirms(known: Store, wrong: str) -> None:
    made = a_held_one(known)

    with pytest.raises(NotFound):
        proposals.confirm(known, made.id, wrong, actor=ANYONE)
    with pytest.raises(NotFound):
        proposals.confirm(known, made.id, wrong, actor=a_member(known, "member"))

    assert states(known) == []


def test_what_confirms_a_proposal_is_kept_as_a_hash_also_of_proposals_of_before(
    known: Store, database_url: str
) -> None:
    made = a_held_one(known)
    with known.database.writing() as connection:
        kept = str(connection.execute(text("SELECT * FROM proposal")).all())
        before = {"secret": made.confirmation, "id": made.id}
        connection.execute(text("UPDATE proposal SET confirmation = :secret WHERE id = :id"), before)
    with_the_schema_of_before(known)

    migrate(database_url)

    with known.database.reading() as connection:
        migrated = str(connection.execute(text("SELECT * FROM proposal")).all())
    assert kept == migrated
    assert made.confirmation not in kept
    assert proposals.confirm(known, made.id, made.confirmation, actor=ANYONE).state == "received"


def test_confirmed_again_it_stays_as_it_is(known: Store) -> None:
    made = a_held_one(known)
    proposals.confirm(known, made.id, made.confirmation, actor=ANYONE)
    proposals.study(known, made.id, actor=an_editor(known))

    again = proposals.confirm(known, made.id, made.confirmation, actor=ANYONE)

    assert again.state == "studied"


@pytest.mark.parametrize(
    "email",
    [
        "",
        "claude",
        "claude@exemple",
        "a@exemple.fr, b@exemple.fr",
        "a@exemple.fr\r\nBcc: b@exemple.fr",
        "a@exemple.fr\nBcc: b@exemple.fr",
        "a,b@exemple.fr",
        "Claude <claude@exemple.fr>",
        "x" * 300 + "@exemple.fr",
        # What a mail's headers can't hold: it was taken, and then an error of the service.
        "claude@exemple.fr.",
        "claude@exemple..fr",
        "claude@\u0435xemple.fr",
    ],
)
def test_an_address_that_is_none_or_more_than_one_is_refused(known: Store, email: str) -> None:
    with pytest.raises(Invalid) as caught:
        a_held_one(known, email=email)

    assert [problem.where for problem in caught.value.problems] == ["email"]


def test_of_one_address_only_some_wait_and_others_go_on(known: Store) -> None:
    for _ in range(HELD_AN_HOUR):
        a_held_one(known)

    with pytest.raises(Invalid, match="trop de demandes"):
        a_held_one(known, email="CLAUDE@exemple.fr")

    assert a_held_one(known, email="dominique@exemple.fr").state == "held"


def test_of_all_addresses_together_only_some_wait(known: Store) -> None:
    first = a_held_one(known)
    with known.at_once():
        for number in range(HELD_BY_ALL - 1):
            known.add_proposal(
                Proposal(0, "aides", "", "x", "y", "", datetime.now(UTC), "held", email=f"a{number}@exemple.fr")
            )

    with pytest.raises(Busy):
        a_held_one(known, email="dominique@exemple.fr")

    assert first.state == "held"


def test_what_nobody_confirms_in_time_is_forgotten_with_its_address_and_its_number_is_not_given_again(
    known: Store,
) -> None:
    old, last = a_held_one(known), a_held_one(known)
    with known.database.writing() as connection:
        since = (datetime.now(UTC) - KEPT_UNCONFIRMED - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        connection.execute(text("UPDATE proposal SET created = :since"), {"since": since})

    with pytest.raises(NotFound):  # Whether anything has looked for what is to be forgotten, or not yet.
        proposals.confirm(known, last.id, last.confirmation, actor=ANYONE)
    said = [list(due(known)), list(due(known))]

    with known.database.reading() as connection:
        kept = str(list(connection.execute(text("SELECT * FROM proposal"))))
    assert said == [["2 demande(s) jamais confirmée(s), effacée(s)"], []]
    assert SAID["what"] not in kept
    assert "claude@" not in kept
    assert proposals.held(known, actor=the_operator(known)) == []
    assert a_held_one(known).id > last.id
    for number in (old.id, last.id):
        list(due(known))
        with pytest.raises(NotFound):
            known.proposal(number)


# What becomes of it


def test_a_proposal_is_studied_retained_in_a_draft_and_released_with_it(known: Store) -> None:
    proposer, editor = a_member(known, "proposer"), an_editor(known)
    made = a_proposal(known, actor=proposer)

    proposals.study(known, made.id, actor=editor)
    changed = a_release(a_concept("A", example=(("fr", "Un exemple."),)), a_concept("B"), version="1.1")
    draft = a_draft(known, changed)
    proposals.retain(known, made.id, draft, actor=editor)
    retained = known.proposal(made.id)

    publishing.publish(known, draft, keys_of(known), version="1.1", valid_from=changed.valid_from)

    released = known.proposal(made.id)
    assert (retained.state, retained.draft, retained.released) == ("retained", draft, "")
    assert (released.state, released.draft, released.released) == ("released", draft, "1.1")
    assert [one.text for one in known.unseen_notices(proposer.person)] == [
        f"Votre demande {made.id} est à l'étude.",
        f"Votre demande {made.id} est retenue dans le projet de version {draft}.",
    ]


def test_a_proposal_is_declined_with_a_reason_that_is_public(known: Store) -> None:
    made = a_proposal(known)

    with pytest.raises(Invalid):
        proposals.decline(known, made.id, "", actor=an_editor(known))
    proposals.decline(known, made.id, "Déjà dit ailleurs.", actor=an_editor(known))

    found = known.proposal(made.id)
    assert (found.state, found.reason) == ("declined", "Déjà dit ailleurs.")


def test_what_is_decided_is_not_decided_again(known: Store) -> None:
    made, editor = a_proposal(known), an_editor(known)
    proposals.decline(known, made.id, "Non.", actor=editor)

    with pytest.raises(Conflict):
        proposals.study(known, made.id, actor=editor)
    with pytest.raises(Conflict):
        proposals.decline(known, made.id, "Non plus.", actor=editor)


def test_a_proposal_is_not_retained_in_a_draft_that_is_over(known: Store) -> None:
    made, editor = a_proposal(known), an_editor(known)
    draft = a_draft(known, a_release())
    drafts.withdraw(known, draft, actor=editor)

    with pytest.raises(Conflict):
        proposals.retain(known, made.id, draft, actor=editor)
    with pytest.raises(NotFound):
        proposals.retain(known, made.id, 999, actor=editor)


def test_only_editors_and_secretaries_decide(known: Store) -> None:
    made = a_proposal(known)

    with pytest.raises(Forbidden):
        proposals.study(known, made.id, actor=a_member(known, "proposer", "member", "administrator"))
    with pytest.raises(Unauthenticated):
        proposals.study(known, made.id, actor=ANYONE)

    assert states(known) == [(made.id, "received")]


def test_the_address_goes_when_the_proposal_is_decided(known: Store) -> None:
    made, editor = a_held_one(known), an_editor(known)
    proposals.confirm(known, made.id, made.confirmation, actor=ANYONE)
    proposals.study(known, made.id, actor=editor)
    while_studied = known.proposal(made.id).email

    proposals.decline(known, made.id, "Non.", actor=editor)

    with known.database.reading() as connection:
        rows = str(list(connection.execute(text("SELECT * FROM proposal"))))
        entries = str(list(connection.execute(text("SELECT entry FROM journal"))))
    assert while_studied == "claude@exemple.fr"
    assert "claude@" not in rows + entries
    assert made.confirmation not in rows + entries


# Through the API


def post(client: FlaskClient, token: str = "", **changes: Any) -> TestResponse:
    """Ask for a change over HTTP."""
    body = {"nomenclature": "aides", "code": "A", **SAID, **changes}
    return client.post(f"{API}/proposals", json=body, headers=bearer(token) if token else {})


def test_the_api_takes_lists_shows_and_decides(client: FlaskClient, registry: Store) -> None:
    editor = a_token(registry, an_editor(registry))
    made = post(client, a_token(registry, a_member(registry, "proposer")))

    shown = client.get(made.headers["Location"])
    decided = client.patch(
        made.headers["Location"],
        json={"state": "declined", "reason": "Non."},
        headers=bearer(editor, If_Match=shown.headers["ETag"]),
    )
    stale = client.patch(
        made.headers["Location"], json={"state": "studied"}, headers=bearer(editor, If_Match=shown.headers["ETag"])
    )

    assert (made.status_code, decided.status_code, stale.status_code) == (201, 200, 412)
    assert shown.get_json() == made.get_json()
    assert client.get(f"{API}/proposals").get_json() == {
        "items": [decided.get_json()],
        "total": 1,
        "cursor": None,
    }
    assert (decided.get_json()["state"], decided.get_json()["reason"]) == ("declined", "Non.")


def test_the_list_is_paged_and_filtered(client: FlaskClient, registry: Store) -> None:
    numbers = [a_proposal(registry, code=code).id for code in ("A", "B", "A")]
    a_held_one(registry)

    first = client.get(f"{API}/proposals?limit=2").get_json()
    second = client.get(f"{API}/proposals?limit=2&cursor={first['cursor']}").get_json()
    of_a = client.get(f"{API}/proposals?code=A&state=received&nomenclature=aides").get_json()

    assert [one["id"] for one in first["items"] + second["items"]] == numbers[::-1]
    assert (first["total"], second["cursor"]) == (3, None)
    assert [one["id"] for one in of_a["items"]] == [numbers[2], numbers[0]]
    assert client.get(f"{API}/proposals?state=held").status_code == 422


def test_without_a_token_it_is_held_and_no_answer_holds_address_or_confirmation(
    client: FlaskClient, registry: Store
) -> None:
    made = post(client, email="claude@exemple.fr")
    number = made.get_json()["id"]
    confirmation = proposals.renew(registry, number, actor=an_editor(registry)).confirmation

    before = client.get(f"{API}/proposals/{number}")
    wrong = client.post(f"{API}/proposals/{number}/confirm", json={"confirmation": "x"})
    right = client.post(f"{API}/proposals/{number}/confirm", json={"confirmation": confirmation})
    after = client.get(f"{API}/proposals/{number}")

    assert (made.get_json()["state"], made.status_code) == ("held", 201)
    assert (before.status_code, wrong.status_code, right.status_code, after.status_code) == (404, 404, 200, 200)
    told = "".join(answer.text for answer in (made, before, wrong, right, after, client.get(f"{API}/proposals")))
    assert "claude@" not in told
    assert confirmation not in told


@pytest.mark.parametrize(
    "body",
    [
        {"state": "retained"},
        {"state": "studied", "draft": 1},
        {"state": "retained", "draft": 1, "reason": "x"},
        {"state": "held"},
        {"state": "released"},
        {},
    ],
)
def test_a_decision_that_does_not_fit_is_refused(client: FlaskClient, registry: Store, body: dict[str, Any]) -> None:
    made = a_proposal(registry)
    editor = a_token(registry, an_editor(registry))

    answered = client.patch(f"{API}/proposals/{made.id}", json=body, headers=bearer(editor, If_Match="*"))

    assert answered.status_code == 422
    assert registry.proposal(made.id).state == "received"


# Mail


class _Box:
    """Keeps what is sent to it."""

    def __init__(self) -> None:
        self.received: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 -- as aiosmtpd calls it.
        message: Any = message_from_bytes(envelope.content, policy=default)
        self.received.append((envelope.rcpt_tos, message))
        return "250 OK"


@pytest.fixture
def box() -> Iterator[tuple[_Box, str]]:
    """A mail server on this machine, and its address."""
    found = _Box()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(found, hostname="127.0.0.1", port=port)
    controller.start()
    yield found, f"smtp://127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def posting(box: tuple[_Box, str], sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of a registry that sends mail."""
    settings = settings_for(tmp_path, sqlite_url, smtp_url=box[1], public_url="https://socle.example/")
    with running(settings) as app:
        published(app.extensions["socle"].store, a_release())
        yield app.test_client()


def test_the_link_and_the_answer_go_to_the_sender_at_the_address_that_the_settings_name(
    posting: FlaskClient, box: tuple[_Box, str]
) -> None:
    made = posting.post(
        f"{API}/proposals",
        json={"nomenclature": "aides", **SAID, "email": "claude@exemple.fr"},
        headers={"Host": "evil.example", "Idempotency-Key": "1"},
    )

    [(to, message)] = box[0].received
    content = message.get_content()
    [link] = re.findall(r"https?://\S+", content)
    kept: Store = posting.application.extensions["socle"].store
    assert to == ["claude@exemple.fr"]
    assert message["From"] == "Socle <socle@socle.example>"
    number = made.get_json()["id"]
    start, _, secret = link.partition("&jeton=")
    assert start == f"https://socle.example/demandes/confirmer?demande={number}"
    assert proposals.confirm(kept, number, secret, actor=ANYONE).state == "received"

    editor = bearer(a_token(kept, an_editor(kept)), If_Match="*")
    posting.patch(f"{API}/proposals/{number}", json={"state": "declined", "reason": "Déjà prévu."}, headers=editor)

    to, message = box[0].received[1]
    assert to == ["claude@exemple.fr"]
    assert f"Votre demande {number} n'est pas retenue : Déjà prévu." in message.get_content()
    assert f"https://socle.example/demandes/{number}\r\n" in message.get_content()


def test_a_mail_server_that_does_not_answer_loses_nothing(sqlite_url: str, tmp_path: Path) -> None:
    with running(settings_for(tmp_path, sqlite_url, smtp_url="smtp://127.0.0.1:9")) as app:
        registry: Store = app.extensions["socle"].store
        published(registry, a_release())

        made = post(app.test_client(), email="claude@exemple.fr")

        assert made.status_code == 201
        assert registry.proposal(made.get_json()["id"]).state == "held"


def test_no_header_can_be_smuggled_into_a_mail(box: tuple[_Box, str], tmp_path: Path) -> None:
    settings: Settings = settings_for(tmp_path, smtp_url=box[1])

    for to, subject in (
        ("a@exemple.fr\r\nBcc: b@exemple.fr", "x"),
        ("a@exemple.fr, b@exemple.fr", "x"),
        ("a@exemple.fr", "x\r\nBcc: b@exemple.fr"),
    ):
        with pytest.raises(Busy) as caught:
            mail.send(settings, to, subject, "Texte.")
        assert "exemple" not in str(caught.value)

    assert box[0].received == []


# On the command line


@pytest.fixture
def machine(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """The command line of the same registry."""
    settings: Settings = client.application.extensions["socle"].settings
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("SOCLE_DATABASE_URL", settings.database)
    return CliRunner()


def ran(machine: CliRunner, *arguments: str) -> Result:
    """A command that must succeed."""
    found = machine.invoke(main, [*arguments])
    assert found.exit_code == 0, found.output
    return found


def test_the_command_line_does_all_that_the_api_does(machine: CliRunner, registry: Store) -> None:
    created = ran(
        machine, "proposal", "create", "aides", "--code", "A", "--what", "Préciser.", "--why", "La loi.", "--json"
    )
    number = str(json.loads(created.output)["id"])
    draft = str(a_draft(registry, a_release()))

    ran(machine, "proposal", "study", number)
    retained = ran(machine, "proposal", "retain", number, draft)
    declined = ran(machine, "proposal", "decline", number, "Non.")
    listed = json.loads(ran(machine, "proposal", "list", "--in", "aides", "--state", "declined", "--json").output)

    assert f"retenue dans le projet {draft}" in retained.output
    assert "non retenue : Non." in declined.output
    assert [one["id"] for one in listed["items"]] == [int(number)]


DECISIONS: tuple[tuple[str, tuple[str, ...]], ...] = (("study", ()), ("decline", ("Non.",)))


def test_the_secretary_sees_what_is_held_and_makes_a_new_link_that_voids_the_one_before(
    machine: CliRunner, registry: Store
) -> None:
    made = a_held_one(registry)

    held = ran(machine, "proposal", "list", "--held").output
    public = ran(machine, "proposal", "list", "--json").output
    email, address = ran(machine, "proposal", "link", str(made.id)).output.splitlines()
    with pytest.raises(NotFound):
        proposals.confirm(registry, made.id, made.confirmation, actor=ANYONE)
    again = address.partition("jeton=")[2]
    confirmed = ran(machine, "proposal", "confirm", str(made.id), "--confirmation", again)
    confirmed_state = registry.proposal(made.id).state
    answered = [ran(machine, "proposal", decided, str(made.id), *why).stderr for decided, why in DECISIONS]
    too_late = machine.invoke(main, ["proposal", "link", str(made.id)])

    assert "claude@exemple.fr" in held
    assert "jeton" not in held
    assert email == "claude@exemple.fr"
    assert address.startswith(f"http://127.0.0.1:8000/demandes/confirmer?demande={made.id}&jeton=")
    assert json.loads(public)["items"] == []
    assert confirmed.exit_code == 0
    assert confirmed_state == "received"
    # Without a mail server the secretary answers as well, and is told to whom; once it is decided nobody can be.
    assert [error.count("claude@exemple.fr") for error in answered] == [1, 1]
    assert registry.proposal(made.id).email == ""
    assert (too_late.exit_code, "is declined" in too_late.output) == (4, True)


def test_whoever_does_not_decide_gets_no_links(machine: CliRunner, registry: Store) -> None:
    member = a_member(registry, "member")

    refused = machine.invoke(main, ["--as", member.person, "proposal", "list", "--held"])

    assert refused.exit_code == 1
    assert "proposal.decide" in refused.output


# On the pages


def token_of(page: TestResponse) -> str:
    """The token of the forms on a page."""
    found = re.findall(r'name="csrf_token" value="([^"]+)"', page.text)
    return str(found[0])


def sent_form(client: FlaskClient, **changes: str) -> TestResponse:
    """The form of a proposal, filled in and sent."""
    given = {"nomenclature": "aides", "code": "A", **SAID, "legalBasis": "", "email": "claude@exemple.fr", **changes}
    page = client.get("/demandes/nouvelle")
    return client.post("/demandes/nouvelle", data={**given, "csrf_token": token_of(page)})


def test_anybody_asks_by_the_form_and_confirms_by_the_link(client: FlaskClient, registry: Store) -> None:
    held = sent_form(client)
    [known] = proposals.held(registry, actor=the_operator(registry))
    waiting = proposals.renew(registry, known.id, actor=the_operator(registry))
    settings = client.application.extensions["socle"].settings
    address = proposals.link(settings, waiting).removeprefix(settings.address.rstrip("/"))

    looked_at = client.get(address)
    after_looking = states(registry)
    confirmed = client.post(
        "/demandes/confirmer",
        data={"demande": waiting.id, "jeton": waiting.confirmation, "csrf_token": token_of(looked_at)},
    )

    assert "Demande à confirmer" in held.text
    assert "le secrétariat" in held.text.lower()
    assert (looked_at.status_code, after_looking) == (200, [])
    assert (confirmed.status_code, confirmed.headers["Location"]) == (303, f"/demandes/{waiting.id}")
    shown = client.get(confirmed.headers["Location"]).text
    assert "Préciser la définition." in shown
    assert "claude@" not in shown + client.get("/demandes").text


def test_what_was_typed_is_kept_and_each_error_is_told_beside_its_field_and_on_top(client: FlaskClient) -> None:
    refused = sent_form(client, what="<b>Tapé</b>", why="", email="personne", code="Z")

    assert refused.status_code == 422
    assert refused.headers["Cache-Control"] == "no-store"
    assert "&lt;b&gt;Tapé&lt;/b&gt;</textarea>" in refused.text
    for field in ("why", "email", "code"):
        assert f'href="#demande-{field}"' in refused.text
        assert f'id="demande-{field}-erreur"' in refused.text
    assert 'value="personne"' in refused.text


def test_the_form_is_filled_in_from_the_page_of_a_concept(client: FlaskClient) -> None:
    concept = client.get("/nomenclatures/aides/A").text
    [address] = re.findall(r'href="(/demandes/nouvelle\?[^"]+)"', concept)

    form = client.get(address.replace("&amp;", "&")).text

    assert 'value="aides" selected' in form
    assert 'name="code" value="A"' in form


def test_the_form_without_its_token_is_refused(client: FlaskClient, registry: Store) -> None:
    client.get("/demandes/nouvelle")

    answered = client.post("/demandes/nouvelle", data={"nomenclature": "aides", **SAID, "email": "claude@exemple.fr"})

    assert answered.status_code == 403
    assert "Formulaire périmé" in answered.text
    assert proposals.held(registry, actor=the_operator(registry)) == []


def test_the_public_list_shows_states_and_is_filtered(client: FlaskClient, registry: Store) -> None:
    made, other = a_proposal(registry), a_proposal(registry, what="Autre chose.")
    proposals.decline(registry, made.id, "Non.", actor=an_editor(registry))

    everything = client.get("/demandes").text
    declined = client.get("/demandes?etat=declined&nomenclature=aides").text

    assert f'href="/demandes/{made.id}"' in everything
    assert f'href="/demandes/{other.id}"' in everything
    assert f'href="/demandes/{made.id}"' in declined
    assert f'href="/demandes/{other.id}"' not in declined
    assert "Non." in client.get(f"/demandes/{made.id}").text
