"""Organisations, people and roles, the first administrator, and the journal of what each of them did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from sqlalchemy import text

from cli.main import main
from registry import access
from registry.access import ANYONE, OF_ONE_ORGANISATION, OPERATIONS, ROLES, Actor, Role
from registry.crosswalks import Organisation
from registry.errors import Conflict, Damaged, Forbidden, Invalid, NotFound, Unauthenticated
from registry.model import today
from registry.shipped import publish as publish_shipped
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_member, a_token, an_organisation, bearer, keys_of, the_operator

API = "/api/v1"
SIRET = "73282932000074"


def entries(store: Store) -> list[dict[str, Any]]:
    """The journal, parsed."""
    return [orjson.loads(entry) for entry in store.journal_entries()]


def refuse_in_journal(store: Store, operation: str) -> None:
    """Have the database's journal take no entry of this operation from now on."""
    marked = f'"operation":"{operation}"'
    sqlite = (
        "CREATE TRIGGER no_journal BEFORE INSERT ON journal "
        f"WHEN instr(NEW.entry, '{marked}') BEGIN SELECT RAISE(ABORT, 'no journal'); END"
    )
    postgresql = f"ALTER TABLE journal ADD CONSTRAINT no_journal CHECK (position('{marked}' in entry) = 0) NOT VALID"
    with store.database.writing() as connection:
        connection.execute(text(sqlite if store.database.is_sqlite else postgresql))


# Roles


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_role_may_do_what_its_operations_say_and_nothing_else(operation: str) -> None:
    wrong = []
    for role, held in product(ROLES, ("own", "other")):
        actor = Actor("p0123456789abcdef", frozenset({(held, role)}), "session")
        needed = OPERATIONS[operation]
        expected = not needed or needed == ROLES or role in needed
        expected = expected and (held == "own" or operation not in OF_ONE_ORGANISATION)

        try:
            access.allow(actor, operation, organisation="own")
            found = True
        except Forbidden:
            found = False

        wrong += [(role, held)] if found != expected else []

    assert wrong == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_is_not_known_may_only_do_what_is_open_to_anybody(operation: str) -> None:
    if OPERATIONS[operation]:
        with pytest.raises(Unauthenticated):
            access.allow(ANYONE, operation)
    else:
        access.allow(ANYONE, operation)


@pytest.mark.parametrize(
    ("role", "operation"),
    [
        ("editor", "release.publish"),
        ("editor", "draft.submit"),
        ("secretary", "draft.vote"),
        ("administrator", "draft.vote"),
        ("administrator", "release.publish"),
        ("administrator", "crosswalk.read"),
        ("member", "draft.edit"),
        ("mapper", "draft.read"),
        ("proposer", "draft.read"),
        ("reader", "draft.read"),
        ("secretary", "person.write"),
        ("secretary", "journal.read"),
    ],
)
def test_what_two_people_must_do_no_single_role_does(role: Role, operation: str) -> None:
    actor = Actor("p0123456789abcdef", frozenset({("comite", role)}), "session")

    with pytest.raises(Forbidden):
        access.allow(actor, operation, organisation="comite")


# Organisations


def test_an_organisation_is_made_and_changed_by_an_administrator_alone(store: Store) -> None:
    secretary = a_member(store, "secretary", organisation="comite")

    access.create_organisation(store, an_organisation(), actor=the_operator(store))
    changed = access.change_organisation(store, "dep-71", {"siret": SIRET}, actor=the_operator(store))

    assert store.organisation("dep-71") == changed == an_organisation(siret=SIRET)
    with pytest.raises(Forbidden):
        access.change_organisation(store, "dep-71", {"name": "Autre"}, actor=secretary)
    with pytest.raises(Forbidden):
        access.create_organisation(store, an_organisation(slug="dep-72"), actor=secretary)
    with pytest.raises(Conflict):
        access.create_organisation(store, an_organisation(), actor=the_operator(store))
    with pytest.raises(NotFound):
        access.change_organisation(store, "dep-72", {"name": "Sarthe"}, actor=the_operator(store))


@pytest.mark.parametrize(
    ("kind", "college"),
    [
        ("state", "state"),
        ("etat", "state"),
        ("departement", "departements"),
        ("metropole", "departements"),
        ("ccas", ""),
        ("vendor", ""),
        ("committee", ""),
        ("association", ""),
    ],
)
def test_an_organisation_votes_in_the_college_of_its_kind_unless_another_is_said(kind: str, college: str) -> None:
    assert Organisation("o", "O", kind).college == college
    assert Organisation("o", "O", kind, college="state").college == "state"
    assert Organisation("o", "O", kind, college="").college == ""


def test_the_college_follows_a_change_of_kind_unless_it_was_chosen(store: Store) -> None:
    operator = the_operator(store)
    access.create_organisation(store, an_organisation(), actor=operator)
    access.create_organisation(store, an_organisation(slug="dep-72", college=""), actor=operator)

    follows = access.change_organisation(store, "dep-71", {"kind": "state"}, actor=operator)
    stays = access.change_organisation(store, "dep-72", {"kind": "state"}, actor=operator)

    assert (follows.college, stays.college) == ("state", "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "Dep 71"),
        ("name", ""),
        ("name", "Saône\u202e"),
        ("kind", "king"),
        ("insee", "7"),
        ("siret", "73282932000075"),
        ("siret", "7328293200007"),
        ("siret", "٧٣٢٨٢٩٣٢٠٠٠٠٧٤"),
        ("college", "kings"),
    ],
)
def test_a_field_of_an_organisation_that_is_refused_is_named(store: Store, field: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        access.create_organisation(store, an_organisation(**{field: value}), actor=the_operator(store))

    assert [(problem.where, problem.value) for problem in caught.value.problems] == [(field, value)]


@pytest.mark.parametrize("number", [SIRET, "35600000000048", "35600000049837"])
def test_a_siret_passes_by_the_check_of_luhn_or_by_that_of_la_poste(number: str) -> None:
    assert access.is_siret(number)


def test_every_shipped_organisation_passes_the_checks_that_administrators_meet(shipped_store: Store) -> None:
    kinds = {organisation.kind for organisation in shipped_store.organisations()}

    assert kinds <= set(access.KINDS)


def test_what_is_shipped_later_leaves_an_organisation_as_the_administrator_made_it(terminal: Store) -> None:
    changed = an_organisation(slug="dep-35", name="Ille-et-Vilaine", siret=SIRET)
    access.create_organisation(terminal, changed, actor=the_operator(terminal))

    publish_shipped(terminal, keys_of(terminal))

    assert terminal.organisation("dep-35") == changed
    assert terminal.crosswalk_editions(organisation="dep-35")


# People


def test_a_person_is_an_opaque_id_that_is_found_by_id_or_address(store: Store) -> None:
    made = access.create_person(store, "Ana Prat", "Ana@Exemple.fr", actor=the_operator(store))

    assert made == store.person(made.id) == store.person("ANA@exemple.fr")
    assert made.id[0] == "p"
    assert len(made.id) == 17
    with pytest.raises(Conflict):
        access.create_person(store, "Une autre", "ana@exemple.fr", actor=the_operator(store))


@pytest.mark.parametrize(("name", "email"), [("", ""), (" Ana", ""), ("Ana", "ana"), ("Ana", "a@b"), ("A\n", "")])
def test_a_name_or_an_address_that_is_refused_is_not_repeated(store: Store, name: str, email: str) -> None:
    with pytest.raises(Invalid) as caught:
        access.create_person(store, name, email, actor=the_operator(store))

    assert all(problem.value == "" for problem in caught.value.problems)


def test_a_role_is_held_from_joining_until_leaving(store: Store) -> None:
    member = a_member(store, "member", "mapper")
    assert member.organisations("mapper") == ("dep-71",)

    access.leave(store, member.person, "dep-71", "mapper", actor=the_operator(store))

    assert store.memberships(member.person) == {("dep-71", "member")}
    assert store.members("dep-71") == [(member.person, "member")]
    with pytest.raises(NotFound):
        access.leave(store, member.person, "dep-71", "mapper", actor=the_operator(store))


def test_erasing_a_person_leaves_an_id_and_nothing_that_says_whose_it_was(store: Store) -> None:
    operator = the_operator(store)
    person = access.create_person(store, "Ana Prat", "ana@exemple.fr", actor=operator)
    access.create_organisation(store, an_organisation(), actor=operator)
    access.join(store, person.id, "dep-71", "mapper", actor=operator)
    _, secret = access.create_token(
        store, person.id, "dep-71", ["mapper"], days=9, label="le poste d'Ana Prat", actor=operator
    )
    access.token_actor(store, secret, today())
    with store.database.writing() as connection:
        for table in ("session", "sign_in_link"):
            last = "'', ''" if table == "session" else "''"
            column = "created, expires, document" if table == "session" else "expires, used"
            values = f"'x', '{person.id}', '', {last}"
            connection.execute(text(f"INSERT INTO {table} (sha256, person_id, {column}) VALUES ({values})"))

    access.erase(store, person.id, actor=operator)

    found = store.person(person.id)
    assert replace(found, erased=None) == replace(person, name="", email="")
    assert found.erased
    assert store.memberships(person.id) == frozenset()
    assert [(token.label, bool(token.revoked)) for token in store.tokens(person.id)] == [("", True)]
    with store.database.reading() as connection:
        assert not connection.execute(text("SELECT 1 FROM session")).first()
        assert not connection.execute(text("SELECT 1 FROM sign_in_link")).first()
    with pytest.raises(Unauthenticated):
        access.token_actor(store, secret, today())
    with pytest.raises(Unauthenticated):
        access.actor_of(store, person.id, door="terminal")
    with pytest.raises(NotFound):
        access.join(store, person.id, "dep-71", "mapper", actor=operator)
    assert any(entry["object"] == f"person {person.id}" for entry in entries(store))


def test_the_last_administrator_neither_goes_nor_is_erased(store: Store) -> None:
    operator = the_operator(store)

    with pytest.raises(Conflict):
        access.erase(store, operator.person, actor=operator)
    with pytest.raises(Conflict):
        access.leave(store, operator.person, "comite", "administrator", actor=operator)

    assert the_operator(store) == operator


# The first administrator, and who acts on the terminal


def test_a_registry_gets_one_first_administrator_however_often_it_is_made_ready(store: Store) -> None:
    first, made = access.first_administrator(store, "Le service informatique")
    again, made_again = access.first_administrator(store, "Un autre")

    assert (first, made, made_again) == (again, True, False)
    assert first.name == "Le service informatique"
    assert the_operator(store).memberships == {
        ("comite", "administrator"),
        ("comite", "secretary"),
        ("comite", "editor"),
    }
    assert store.organisation("comite").kind == "committee"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_url: str) -> Iterator[Store]:
    """A registry on which ``socle`` is run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    store = Store(sqlite_url, tmp_path / "blobs")
    yield store
    store.close()


def socle(*arguments: str, token: str = "") -> Result:
    result = CliRunner().invoke(main, arguments, env={"SOCLE_TOKEN": token or None})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_without_a_name_the_terminal_acts_as_the_first_administrator(terminal: Store) -> None:
    done = socle("organisation", "create", "dep-71", "--name", "Saône-et-Loire", "--kind", "departement")

    assert done.exit_code == 0, done.output
    last = entries(terminal)[-1]
    assert (last["person"], last["door"]) == (the_operator(terminal).person, "terminal")


def test_as_somebody_the_terminal_has_their_roles_and_no_other(terminal: Store) -> None:
    mapper = a_member(terminal, "mapper")
    create = ("organisation", "create", "dep-72", "--name", "Sarthe", "--kind", "departement")

    refused = socle("--as", mapper.person, *create)
    unknown = socle("--as", "p0000000000000000", *create)

    assert (refused.exit_code, unknown.exit_code) == (1, 3)
    assert "organisation.write needs administrator" in refused.stderr
    assert (entries(terminal)[-1]["type"], entries(terminal)[-1]["person"]) == ("refusal", mapper.person)


def test_a_token_in_the_environment_acts_for_its_owner(terminal: Store) -> None:
    token = a_token(terminal, a_member(terminal, "mapper"))

    own = socle("token", "list", token=token)
    others = socle("person", "list", token=token)
    wrong = socle("person", "list", token=token[:-1] + "-")

    assert (own.exit_code, others.exit_code, wrong.exit_code) == (0, 1, 2)
    assert "jamais utilisé" not in own.output
    assert token not in own.output + wrong.output


def test_the_terminal_tells_the_story_of_an_organisation_and_its_people(terminal: Store) -> None:
    socle("organisation", "create", "dep-71", "--name", "Saône-et-Loire", "--kind", "departement")
    person = json.loads(socle("person", "create", "Ana Prat", "--email", "ana@exemple.fr", "--json").stdout)["id"]
    joined = socle("organisation", "join", "dep-71", "ana@exemple.fr", "--role", "mapper", "--role", "member")
    changed = socle("organisation", "update", "dep-71", "--siret", SIRET, "--college", "none", "--json")
    left = socle("organisation", "leave", "dep-71", person, "--role", "mapper")
    people = json.loads(socle("person", "list", "--json").stdout)["items"]
    erased = socle("person", "erase", "ana@exemple.fr")
    organisations = json.loads(socle("organisation", "list", "--json").stdout)["items"]

    assert [done.exit_code for done in (joined, changed, left, erased)] == [0, 0, 0, 0]
    assert people[-1] == {
        "id": person,
        "name": "Ana Prat",
        "email": "ana@exemple.fr",
        "erased": None,
        "memberships": [{"organisation": "dep-71", "role": "member"}],
    }
    assert organisations[-1] == json.loads(changed.stdout)
    assert (organisations[-1]["siret"], organisations[-1]["college"]) == (SIRET, "")
    assert "Ana" not in socle("person", "list").output


# The journal


def test_what_is_done_and_what_is_refused_stand_in_one_chain(store: Store) -> None:
    mapper = a_member(store, "mapper")
    with pytest.raises(Forbidden):
        access.create_person(store, "Un ami", actor=mapper)

    count, head = access.check_journal(store)

    last = entries(store)[-1]
    assert (count, last["seq"], last["type"], last["person"]) == (len(entries(store)), count, "refusal", mapper.person)
    assert len(head) == 64


def test_an_anonymous_visitor_who_is_refused_leaves_no_entry(store: Store) -> None:
    with pytest.raises(Unauthenticated):
        access.create_person(store, "Un ami", actor=ANYONE)

    assert entries(store) == []


def test_an_entry_that_was_altered_is_named(store: Store) -> None:
    a_member(store, "mapper")
    with store.database.writing() as connection:
        if store.database.is_sqlite:
            connection.execute(text("DROP TRIGGER journal_update_changes"))
        else:
            connection.execute(text("ALTER TABLE journal DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE journal SET entry = replace(entry, 'created', 'nothing') WHERE seq = 3"))

    with pytest.raises(Damaged, match="journal"):
        access.check_journal(store)


def test_what_can_not_be_written_in_the_journal_is_not_done(store: Store) -> None:
    operator = the_operator(store)
    refuse_in_journal(store, "organisation.write")

    with pytest.raises(Conflict):
        access.create_organisation(store, an_organisation(), actor=operator)

    with pytest.raises(NotFound):
        store.organisation("dep-71")


def test_a_refusal_stays_written_when_the_transaction_around_it_comes_to_nothing(store: Store) -> None:
    operator, mapper = the_operator(store), a_member(store, "mapper")
    before = len(entries(store))

    with pytest.raises(Forbidden), store.at_once():
        access.create_person(store, "Ana", actor=operator)
        access.create_person(store, "Un ami", actor=mapper)

    assert [entry["type"] for entry in entries(store)[before:]] == ["refusal"]
    assert len(store.people()) == 2
    access.check_journal(store)


def test_what_is_read_within_a_transaction_is_what_was_written_in_it(store: Store) -> None:
    operator = the_operator(store)

    with store.at_once():
        access.create_organisation(store, an_organisation(), actor=operator)
        within = store.organisation("dep-71")

    assert within == an_organisation()


def test_a_refusal_that_passes_through_several_acts_is_written_once(store: Store) -> None:
    operator, mapper = the_operator(store), a_member(store, "mapper")
    before = len(entries(store))

    with pytest.raises(Forbidden), access.acting(store, operator, "organisation.write"):
        access.create_person(store, "Un ami", actor=mapper)

    assert [(entry["type"], entry["person"]) for entry in entries(store)[before:]] == [("refusal", mapper.person)]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_an_address_is_kept_as_its_network_alone(address: str, network: str) -> None:
    assert access.network(address) == network


@pytest.fixture
def client(sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an empty registry that may be written to."""
    with running(settings_for(tmp_path, sqlite_url)) as app:
        yield app.test_client()


def of(client: FlaskClient) -> Store:
    """The store behind a client."""
    store: Store = client.application.extensions["socle"].store
    return store


def test_the_journal_holds_no_name_no_address_and_no_token(client: FlaskClient) -> None:
    store = of(client)
    token = a_token(store, a_member(store, "administrator", organisation="comite"))
    mapper = a_token(store, a_member(store, "mapper"))
    client.post(
        f"{API}/people",
        headers=bearer(token),
        json={"name": "Ana Prat", "email": "ana@exemple.fr"},
        environ_base={"REMOTE_ADDR": "192.0.2.77"},
    )
    for path in (f"/people/{mapper}", "/people/ana@exemple.fr", "/people/Ana%20Prat"):
        refused = client.delete(API + path, headers=bearer(mapper), environ_base={"REMOTE_ADDR": "192.0.2.77"})
        assert refused.status_code == 403
        client.delete(API + path, headers=bearer(token))

    written = b"".join(store.journal_entries()).decode()

    assert [word for word in ("Prat", "exemple.fr", "reg_", "192.0.2.77", "Camille") if word in written] == []
    assert '"origin":"192.0.2.0/24"' in written


def test_administrators_read_the_journal_page_by_page_and_nobody_else_does(client: FlaskClient) -> None:
    store = of(client)
    secretary = a_token(store, a_member(store, "secretary", organisation="comite"))
    token = a_token(store, a_member(store, "administrator", organisation="comite"))

    first = client.get(f"{API}/journal?limit=2", headers=bearer(token)).get_json()
    rest = client.get(f"{API}/journal?cursor={first['cursor']}", headers=bearer(token)).get_json()
    refused = client.get(f"{API}/journal", headers=bearer(secretary))
    anonymous = client.get(f"{API}/journal")

    assert [*first["items"], *rest["items"]] == entries(store)[:-1]
    assert (refused.status_code, anonymous.status_code) == (403, 401)


def test_the_terminal_prints_the_journal_and_verifies_its_chain(terminal: Store) -> None:
    a_member(terminal, "mapper")

    whole = json.loads(socle("journal", "--json").stdout)["items"]
    since = json.loads(socle("journal", "--since", "3", "--json").stdout)["items"]
    verified = json.loads(socle("journal", "--verify", "--json").stdout)

    assert whole == entries(terminal)
    assert since == whole[3:]
    assert verified["entries"] == len(whole)
