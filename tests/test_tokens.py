"""Tokens: what they let a program do, when they end, and that nothing ever shows one again; repeated requests."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import text

from cli.main import main
from registry import access
from registry.access import MOST_DAYS, Actor, Role
from registry.errors import Busy, Forbidden, Invalid, NotFound, Unauthenticated
from registry.model import today
from registry.store import Store
from tests.conftest import running, settings_for
from tests.factories import a_member, a_token, an_organisation, bearer, the_operator

API = "/api/v1"


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of an empty registry, on each kind of database, that may be written to."""
    with running(settings_for(tmp_path, database_url)) as app:
        yield app.test_client()


@pytest.fixture
def registry(client: FlaskClient) -> Store:
    """The store behind the client."""
    found: Store = client.application.extensions["socle"].store
    return found


def an_administrator(store: Store) -> str:
    """A token of somebody who may write."""
    return a_token(store, a_member(store, "administrator", organisation="comite"))


def dumped(store: Store) -> str:
    """Every row of every table that a token or an answer might be in, as text."""
    tables = ("token", "journal", "idempotency", "person", "membership")
    with store.database.reading() as connection:
        return "\n".join(str(list(connection.execute(text(f"SELECT * FROM {table}")))) for table in tables)


# What a token is


def test_a_token_acts_for_its_owner_in_its_own_roles_alone(store: Store) -> None:
    member = a_member(store, "member", "mapper")

    token, secret = access.create_token(store, member.person, "dep-71", ["mapper"], days=1, actor=member)

    assert access.token_actor(store, secret, today()) == Actor(
        member.person, frozenset({("dep-71", "mapper")}), f"token {token.id}"
    )
    assert secret.startswith(f"reg_{token.id}_")
    assert len(secret.rpartition(f"_{token.id}_")[2]) == 43


def test_of_a_token_only_a_hash_is_kept(store: Store) -> None:
    secret = a_token(store, a_member(store, "mapper"))
    access.token_actor(store, secret, today())

    assert secret not in dumped(store)
    assert secret[-43:] not in dumped(store)


def test_a_token_loses_the_roles_that_its_owner_loses(store: Store) -> None:
    member = a_member(store, "mapper", "member")
    secret = a_token(store, member)

    access.leave(store, member.person, "dep-71", "member", actor=the_operator(store))

    assert access.token_actor(store, secret, today()).roles == {"mapper"}


def test_a_token_ends_after_its_last_day_and_when_it_is_revoked(store: Store) -> None:
    member = a_member(store, "mapper")
    token, secret = access.create_token(store, member.person, "dep-71", ["mapper"], days=3, actor=member)

    on_the_last_day = access.token_actor(store, secret, today() + timedelta(3))
    with pytest.raises(Unauthenticated, match="expired"):
        access.token_actor(store, secret, today() + timedelta(4))
    access.revoke_token(store, token.id, actor=member)
    with pytest.raises(Unauthenticated, match="revoked"):
        access.token_actor(store, secret, today())

    assert on_the_last_day.person == member.person


@pytest.mark.parametrize("days", [0, -1, MOST_DAYS + 1, 10**9])
def test_a_token_lasts_a_day_at_least_and_a_year_at_most(store: Store, days: int) -> None:
    member = a_member(store, "mapper")

    with pytest.raises(Invalid) as caught:
        access.create_token(store, member.person, "dep-71", ["mapper"], days=days, actor=member)

    assert [problem.where for problem in caught.value.problems] == ["days"]


def test_nobody_makes_a_token_with_a_role_that_they_lack(store: Store) -> None:
    mapper = a_member(store, "mapper")

    with pytest.raises(Forbidden):
        access.create_token(store, mapper.person, "dep-71", ["member"], days=1, actor=mapper)
    with pytest.raises(Forbidden):
        access.create_token(store, mapper.person, "comite", ["mapper"], days=1, actor=mapper)
    with pytest.raises(Invalid):
        access.create_token(store, mapper.person, "dep-71", ["member"], days=1, actor=the_operator(store))
    with pytest.raises(Invalid):
        access.create_token(store, mapper.person, "dep-71", [], days=1, actor=mapper)


def test_another_persons_token_is_made_on_the_machine_itself_and_nowhere_else(store: Store) -> None:
    mapper = a_member(store, "mapper")
    administrator = a_member(store, "administrator", organisation="comite")

    with pytest.raises(Forbidden):
        access.create_token(store, mapper.person, "dep-71", ["mapper"], days=1, actor=administrator)
    token, _ = access.create_token(store, mapper.person, "dep-71", ["mapper"], days=1, actor=the_operator(store))

    assert token.person == mapper.person


def test_a_token_makes_none_that_carries_more_or_lasts_longer(store: Store) -> None:
    member = a_member(store, "mapper", "member")
    _, secret = access.create_token(store, member.person, "dep-71", ["mapper"], days=5, actor=member)
    actor = access.token_actor(store, secret, today())

    with pytest.raises(Forbidden):
        access.create_token(store, member.person, "dep-71", ["member"], days=1, actor=actor)
    with pytest.raises(Invalid):
        access.create_token(store, member.person, "dep-71", ["mapper"], days=6, actor=actor)
    token, _ = access.create_token(store, member.person, "dep-71", ["mapper"], days=5, actor=actor)

    assert token.roles == ("mapper",)


def test_what_a_token_made_ends_with_it(store: Store) -> None:
    member = a_member(store, "mapper")
    first, text = access.create_token(store, member.person, "dep-71", ["mapper"], actor=member)
    other, _ = access.create_token(store, member.person, "dep-71", ["mapper"], actor=member)
    by_first = access.token_actor(store, text, today())
    second, text = access.create_token(store, member.person, "dep-71", ["mapper"], actor=by_first)
    by_second = access.token_actor(store, text, today())
    third, _ = access.create_token(store, member.person, "dep-71", ["mapper"], actor=by_second)

    access.revoke_token(store, first.id, actor=member)

    found = {token.id: bool(token.revoked) for token in store.tokens(member.person)}
    assert found == {first.id: True, other.id: False, second.id: True, third.id: True}


def test_a_token_is_revoked_by_its_owner_or_an_administrator(store: Store) -> None:
    owner, other = a_member(store, "mapper"), a_member(store, "mapper")
    first, _ = access.create_token(store, owner.person, "dep-71", ["mapper"], days=1, actor=owner)
    second, _ = access.create_token(store, owner.person, "dep-71", ["mapper"], days=1, actor=owner)

    with pytest.raises(NotFound):
        access.revoke_token(store, first.id, actor=other)
    access.revoke_token(store, first.id, actor=owner)
    access.revoke_token(store, second.id, actor=the_operator(store))

    assert all(token.revoked for token in access.tokens(store, owner.person, actor=owner))
    with pytest.raises(Forbidden):
        access.tokens(store, owner.person, actor=other)


def test_the_last_use_is_written_at_most_once_an_hour(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    member = a_member(store, "mapper")
    token, secret = access.create_token(store, member.person, "dep-71", ["mapper"], days=1, actor=member)
    written: list[int] = []
    use_token = store.use_token

    def counted(number: int, at: datetime) -> None:
        written.append(number)
        use_token(number, at)

    monkeypatch.setattr(store, "use_token", counted)

    for _ in range(3):
        access.token_actor(store, secret, today())
    store.use_token(token.id, datetime.now(UTC) - timedelta(hours=2))
    access.token_actor(store, secret, today())

    assert written == [token.id] * 3
    last = store.token(token.id)[0].last_used
    assert last is not None
    assert datetime.now(UTC) - last < timedelta(minutes=5)


def test_a_registry_that_can_not_be_written_to_is_still_read_by_token(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = a_member(store, "mapper")
    secret = a_token(store, member)

    def busy(number: int, at: object) -> None:
        raise Busy("database is locked")

    monkeypatch.setattr(store, "use_token", busy)

    assert access.token_actor(store, secret, today()).person == member.person


# Tokens over HTTP


def spoilt(secret: str) -> dict[str, str]:
    """Authorizations that look like a good one and are not."""
    number = secret.split("_")[1]
    return {
        "unknown number": f"Bearer reg_999_{secret[-43:]}",
        "huge number": f"Bearer reg_{'9' * 30}_{secret[-43:]}",
        "other secret": f"Bearer {secret[:-1]}{'A' if secret[-1] != 'A' else 'B'}",
        "shorter": f"Bearer {secret[:-1]}",
        "longer": f"Bearer {secret}A",
        "more after it": f"Bearer {secret} {secret}",
        "two of them": f"Bearer {secret}, Bearer {secret}",
        "another scheme": f"Basic {secret}",
        "no scheme": secret,
        "nothing after it": "Bearer ",
        "only a number": f"Bearer reg_{number}_",
        "not ASCII": f"Bearer reg_{number}_{'é' * 43}",
        "Arabic digits": f"Bearer reg_١_{secret[-43:]}",
        "a megabyte": f"Bearer reg_{number}_{'A' * 1_000_000}",
        "a tab": f"Bearer\t{secret}",
    }


def test_an_authorization_that_is_not_a_good_token_is_refused_and_never_logged(
    client: FlaskClient, registry: Store, caplog: pytest.LogCaptureFixture
) -> None:
    secret = a_token(registry, a_member(registry, "mapper"))
    caplog.set_level(logging.DEBUG)

    for name, given in spoilt(secret).items():
        for path in ("/organisations", "/me", "/nowhere"):
            header = given.encode().decode("latin-1")
            response = client.get(API + path, headers={"Authorization": header})
            assert response.status_code == 401, name
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="socle"'
            assert response.get_json(force=True)["type"] == "urn:socle:problem:unauthenticated"
            assert secret[-43:-1] not in response.get_data(as_text=True)

    assert secret[-43:-1] not in caplog.text
    assert secret[-43:-1] not in dumped(registry)


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_a_token_that_has_ended_is_refused_even_for_what_is_open(
    client: FlaskClient, registry: Store, ended: str
) -> None:
    secret = a_token(registry, a_member(registry, "mapper"))
    assert client.get(f"{API}/organisations", headers=bearer(secret)).status_code == 200

    with registry.database.writing() as connection:
        change = {"revoked": "revoked = '2024-01-01T00:00:00Z'", "expired": "expires = '2024-01-01'"}[ended]
        connection.execute(text(f"UPDATE token SET {change}"))

    assert client.get(f"{API}/organisations", headers=bearer(secret)).status_code == 401


@pytest.mark.parametrize("name", ["access_token", "token", "Authorization"])
def test_a_token_in_the_address_is_no_token(client: FlaskClient, registry: Store, name: str) -> None:
    secret = a_token(registry, a_member(registry, "mapper"))

    response = client.get(f"{API}/me", query_string={name: secret})

    assert response.status_code == 401
    assert secret not in response.get_data(as_text=True)


def test_who_asks_is_told_who_they_are(client: FlaskClient, registry: Store) -> None:
    member = a_member(registry, "mapper")
    with registry.database.writing() as connection:
        told = "'2024-01-01T00:00:00Z', 'draft 1', 'Les votes sont annulés.'"
        for seen in ("", "2024-01-02T00:00:00Z"):
            values = f"'{member.person}', {told}, '{seen}'"
            connection.execute(text(f"INSERT INTO notice (person_id, at, object, text, seen) VALUES ({values})"))

    found = client.get(f"{API}/me", headers=bearer(a_token(registry, member)))

    assert found.get_json() == {
        "person": member.person,
        "name": "Camille Essai",
        "email": "",
        "door": "token 1",
        "memberships": [{"organisation": "dep-71", "role": "mapper"}],
        "notices": [{"id": 1, "at": "2024-01-01T00:00:00Z", "object": "draft 1", "text": "Les votes sont annulés."}],
    }


def test_what_one_person_reads_is_never_given_to_another(client: FlaskClient, registry: Store) -> None:
    first, second = (a_token(registry, a_member(registry, "mapper")) for _ in range(2))

    mine = client.get(f"{API}/me", headers=bearer(first))
    yours = client.get(f"{API}/me", headers=bearer(second))
    nobodys = client.get(f"{API}/me")
    again = client.get(f"{API}/me", headers=bearer(first, If_None_Match=mine.headers["ETag"]))

    assert mine.get_json()["person"] != yours.get_json()["person"]
    assert (nobodys.status_code, again.status_code) == (401, 304)
    assert mine.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in mine.headers["Vary"]


def test_tokens_are_made_listed_and_revoked_over_http(client: FlaskClient, registry: Store) -> None:
    owner = bearer(a_token(registry, a_member(registry, "mapper")))
    body = {"organisation": "dep-71", "roles": ["mapper"], "days": 7, "label": "Synchronisation"}

    made = client.post(f"{API}/tokens", headers=owner, json=body).get_json()
    used = client.get(f"{API}/me", headers=bearer(made["token"]))
    listed = client.get(f"{API}/tokens", headers=owner)
    revoked = client.delete(f"{API}/tokens/{made['id']}", headers=owner)
    refused = client.get(f"{API}/me", headers=bearer(made["token"]))

    assert (used.status_code, revoked.status_code, refused.status_code) == (200, 204, 401)
    last = listed.get_json()["items"][-1]
    assert {**last, "lastUsed": None} == {name: value for name, value in made.items() if name != "token"}
    assert last["lastUsed"]
    assert made["token"][-43:] not in listed.get_data(as_text=True)


def test_the_terminal_shows_a_token_once_and_lists_it_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, client: FlaskClient, registry: Store
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOCLE_DATABASE_URL", database_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    person = a_member(registry, "mapper").person

    def socle(*arguments: str) -> Any:
        result = CliRunner().invoke(main, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    made = socle("token", "create", person, "--organisation", "dep-71", "--role", "mapper", "--days", "3")
    listed = socle("token", "list", person)
    revoked = CliRunner().invoke(main, ["token", "revoke", str(made["id"])])

    assert listed["items"] == [{name: value for name, value in made.items() if name != "token"}]
    assert revoked.exit_code == 0
    assert client.get(f"{API}/me", headers=bearer(made["token"])).status_code == 401


# Repeated requests

DEP = {"slug": "dep-72", "name": "Sarthe", "kind": "departement"}


def test_a_repeated_request_gets_the_first_answer_and_does_nothing_twice(client: FlaskClient, registry: Store) -> None:
    headers = bearer(an_administrator(registry), Idempotency_Key="une-fois")

    first, again = (client.post(f"{API}/people", headers=headers, json={"name": "Ana"}) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    assert first.headers["ETag"] == again.headers["ETag"]
    assert [person.name for person in registry.people()].count("Ana") == 1


def test_the_same_key_with_another_request_is_refused(client: FlaskClient, registry: Store) -> None:
    headers = bearer(an_administrator(registry), Idempotency_Key="une-fois")
    client.post(f"{API}/organisations", headers=headers, json=DEP)

    otherwise = client.post(f"{API}/organisations", headers=headers, json={**DEP, "slug": "dep-73"})
    elsewhere = client.post(f"{API}/people", headers=headers, json=DEP)

    assert (otherwise.status_code, elsewhere.status_code) == (422, 422)
    assert [found.slug for found in registry.organisations()] == ["comite", "dep-72"]


def test_a_key_is_its_senders_own(client: FlaskClient, registry: Store) -> None:
    for slug in ("dep-72", "dep-73"):
        headers = bearer(an_administrator(registry), Idempotency_Key="une-fois")
        assert client.post(f"{API}/organisations", headers=headers, json={**DEP, "slug": slug}).status_code == 201


def test_what_was_refused_can_be_mended_and_sent_again_with_its_key(client: FlaskClient, registry: Store) -> None:
    headers = bearer(an_administrator(registry), Idempotency_Key="une-fois")

    refused = client.post(f"{API}/organisations", headers=headers, json={**DEP, "siret": "1"})
    mended = client.post(f"{API}/organisations", headers=headers, json=DEP)

    assert (refused.status_code, mended.status_code) == (422, 201)


def test_a_key_is_forgotten_after_a_day(client: FlaskClient, registry: Store) -> None:
    headers = bearer(an_administrator(registry), Idempotency_Key="une-fois")
    client.post(f"{API}/people", headers=headers, json={"name": "Ana"})
    with registry.database.writing() as connection:
        connection.execute(text("UPDATE idempotency SET at = '2024-01-01T00:00:00Z'"))

    client.post(f"{API}/people", headers=headers, json={"name": "Ana"})

    assert [person.name for person in registry.people()].count("Ana") == 2


@pytest.mark.parametrize("key", ["", " ", "é", "a" * 201, "a b"])
def test_a_key_that_is_not_printable_is_refused(client: FlaskClient, registry: Store, key: str) -> None:
    headers = bearer(an_administrator(registry), Idempotency_Key=key.encode().decode("latin-1"))

    assert client.post(f"{API}/organisations", headers=headers, json=DEP).status_code == 422


def test_a_new_token_is_not_kept_for_a_repeated_request(client: FlaskClient, registry: Store) -> None:
    headers = bearer(a_token(registry, a_member(registry, "mapper")), Idempotency_Key="une-fois")
    body = {"organisation": "dep-71", "roles": ["mapper"]}

    first, again = (client.post(f"{API}/tokens", headers=headers, json=body).get_json() for _ in range(2))

    assert again == {**first, "token": None}
    assert first["token"][-43:] not in dumped(registry)


def test_the_same_request_sent_by_several_at_once_is_done_once(client: FlaskClient, registry: Store) -> None:
    headers = bearer(an_administrator(registry), Idempotency_Key="une-fois")
    answers: list[bytes] = []

    def send() -> None:
        mine = client.application.test_client()
        answers.append(mine.post(f"{API}/people", headers=headers, json={"name": "Ana"}).data)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert [person.name for person in registry.people()].count("Ana") == 1


def test_erasing_a_person_takes_the_answers_that_named_them(client: FlaskClient, registry: Store) -> None:
    token = an_administrator(registry)
    made = client.post(f"{API}/people", headers=bearer(token, Idempotency_Key="une-fois"), json={"name": "Ana"})
    person = made.get_json()["id"]

    client.delete(f"{API}/people/{person}", headers=bearer(token))

    with registry.database.reading() as connection:
        assert not connection.execute(text("SELECT 1 FROM idempotency")).first()


# Conditional writes


def test_a_change_is_made_to_what_was_read_and_to_nothing_else(client: FlaskClient, registry: Store) -> None:
    token = an_administrator(registry)
    access.create_organisation(registry, an_organisation(), actor=the_operator(registry))
    path = f"{API}/organisations/dep-71"
    read = client.get(path).headers["ETag"]

    without = client.patch(path, headers=bearer(token), json={"name": "A"})
    first = client.patch(path, headers=bearer(token, If_Match=read), json={"name": "B"})
    second = client.patch(path, headers=bearer(token, If_Match=read), json={"name": "C"})
    after = client.patch(path, headers=bearer(token, If_Match=first.headers["ETag"]), json={"name": "D"})
    whatever = client.patch(path, headers=bearer(token, If_Match="*"), json={"insee": "71"})

    statuses = [response.status_code for response in (without, first, second, after, whatever)]
    assert statuses == [428, 200, 412, 200, 200]
    assert second.get_json(force=True)["type"] == "urn:socle:problem:stale"
    assert client.get(path).get_json()["name"] == "D"
    assert client.get(path).headers["ETag"] == whatever.headers["ETag"]


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ('"{}-br"', 200),
        ('"{}-gz"', 200),
        ('"x", "{}"', 200),
        ('W/"{}"', 412),
        ("{}", 412),
        ('"x"', 412),
        ("", 412),
    ],
)
def test_a_tag_counts_in_every_coding_but_only_if_it_is_strong(
    client: FlaskClient, registry: Store, shape: str, status: int
) -> None:
    token = an_administrator(registry)
    access.create_organisation(registry, an_organisation(), actor=the_operator(registry))
    path = f"{API}/organisations/dep-71"
    tag = client.get(path).headers["ETag"].strip('"')

    changed = client.patch(path, headers=bearer(token, If_Match=shape.format(tag)), json={"name": "A"})

    assert changed.status_code == status


def test_of_two_who_change_the_same_thing_at_once_one_is_told_that_it_has_changed(
    client: FlaskClient, registry: Store
) -> None:
    token = an_administrator(registry)
    access.create_organisation(registry, an_organisation(), actor=the_operator(registry))
    path = f"{API}/organisations/dep-71"
    read = client.get(path).headers["ETag"]
    statuses: list[int] = []

    def send(name: str) -> None:
        mine = client.application.test_client()
        statuses.append(mine.patch(path, headers=bearer(token, If_Match=read), json={"name": name}).status_code)

    threads = [threading.Thread(target=send, args=(f"Nom {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200, 412, 412, 412]


_ROLES: tuple[Role, ...] = ("reader", "mapper")


def test_members_join_and_leave_over_http(client: FlaskClient, registry: Store) -> None:
    token = an_administrator(registry)
    person = a_member(registry).person
    path = f"{API}/organisations/dep-71/members/{person}"
    headers = bearer(token)

    for role in (*_ROLES, "mapper"):
        assert client.put(f"{path}/{role}", headers=headers).status_code == 204
    joined = registry.memberships(person)
    left = client.delete(f"{path}/reader", headers=bearer(token))
    again = client.delete(f"{path}/reader", headers=bearer(token))
    wrong = client.put(f"{path}/king", headers=headers)
    nobody = client.put(f"{API}/organisations/dep-71/members/p0/mapper", headers=headers)

    assert joined == {("dep-71", role) for role in _ROLES}
    assert (left.status_code, again.status_code, wrong.status_code, nobody.status_code) == (204, 404, 404, 404)
    assert registry.memberships(person) == {("dep-71", "mapper")}
