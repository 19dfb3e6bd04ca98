"""The committee at work: the whole story by the command and by the API, votes that bind, one publication of two."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import select, update

from cli.main import main
from registry import access, ballots, drafts, editing, editions, feed, keys, publishing
from registry.access import Actor
from registry.crosswalks import CodeList, LocalCode, Mapping
from registry.editions import Source
from registry.errors import Conflict, Forbidden, Invalid, NotFound, Stale, VotesMissing
from registry.model import today
from registry.store import Store
from registry.store import tables as t
from registry.store.drafts import DraftHead
from registry.votes import Attendance, Choice
from tests.conftest import running, settings_for
from tests.factories import (
    A_DAY,
    a_concept,
    a_member,
    a_release,
    a_token,
    an_organisation,
    bearer,
    keys_of,
    published,
    the_operator,
)
from tests.remembered import filled

NEXT_DAY = date(2025, 1, 1)
VOTERS = ("dep-01", "dep-71", "dgcs")
RULES: dict[str, Any] = {"voters": list(VOTERS), "threshold": 2, "eachCollege": True}
ROUNDS = 100 if os.environ.get("SOCLE_FAULTS") == "full" else 3


class Committee:
    """A registry with one release of ``aides``, three voters, a member of each, an author and a secretary."""

    def __init__(self, store: Store, **rules: Any) -> None:
        self.store = store

        def begin() -> tuple[dict[str, Actor], Actor, Actor]:
            published(store, a_release())
            for slug, kind in (("dep-01", "departement"), ("dep-71", "departement"), ("dgcs", "state")):
                store.add_organisation(an_organisation(slug=slug, name=slug, kind=kind))
            members = {slug: a_member(store, "member", organisation=slug) for slug in VOTERS}
            author = a_member(store, "editor", "member", organisation="dep-71")
            secretary = a_member(store, "secretary", organisation="dgcs")
            ballots.set_rules(store, "aides", RULES | rules, actor=the_operator(store))
            return members, author, secretary

        self.members, self.author, self.secretary = filled(store, f"committee {sorted(rules.items())}", begin)

    def drafted(self) -> int:
        """A draft that adds the concept C."""
        number = drafts.from_content(self.store, "aides", title="Une aide de plus", actor=self.author)
        editing.put_concept(self.store, number, a_concept("C"), actor=self.author)
        return number

    def submitted(self, number: int | None = None, **options: Any) -> int:
        """A draft on which the vote is open."""
        number = number or self.drafted()
        given = {"version": "1.1", "valid_from": NEXT_DAY, "actor": self.secretary, **options}
        drafts.submit(self.store, number, **given)
        return number

    def vote(self, number: int, organisation: str, choice: Choice = "approve", **options: Any) -> DraftHead:
        """The vote of an organisation by its member."""
        return ballots.vote(self.store, number, choice, actor=self.members[organisation], **options)

    def approved(self) -> int:
        """A draft that the committee has approved."""
        number = self.submitted()
        self.vote(number, "dep-01")
        self.vote(number, "dgcs")
        return number

    def publish(self, number: int, **options: Any) -> Any:
        """Publish as the secretary."""
        return publishing.publish(self.store, number, keys_of(self.store), **{"actor": self.secretary, **options})

    def days_pass(self, number: int, days: int) -> None:
        """Let a ballot have opened, and close, that many days earlier."""
        with self.store.database.writing() as connection:
            found = json.loads(connection.execute(select(t.draft.c.ballot).where(t.draft.c.id == number)).scalar_one())
            for day in ("opens", "closes"):
                found[-1][day] = (date.fromisoformat(found[-1][day]) - timedelta(days)).isoformat()
            connection.execute(update(t.draft).where(t.draft.c.id == number).values(ballot=json.dumps(found)))

    def notices(self, organisation: str) -> list[str]:
        """What the member of an organisation was told."""
        return [notice.text for notice in self.store.unseen_notices(self.members[organisation].person)]


@pytest.fixture
def committee(store: Store) -> Committee:
    """A committee on each kind of database."""
    return Committee(store)


# --- Votes ---------------------------------------------------------------------------------------------------------


def test_a_draft_is_published_once_each_college_and_the_threshold_approve(committee: Committee) -> None:
    number = committee.submitted()

    with pytest.raises(VotesMissing):
        committee.publish(number)
    committee.vote(number, "dep-01")
    with pytest.raises(VotesMissing):
        committee.publish(number)
    committee.vote(number, "dgcs", reason="Conforme.")
    edition = committee.publish(number)

    decision = orjson.loads(committee.store.manifest("aides", "1.1"))["decision"]
    assert edition.version == "1.1"
    assert decision["votes"] == [
        {"organisation": "dep-01", "choice": "approve"},
        {"organisation": "dgcs", "choice": "approve"},
    ]
    assert decision["submission"] == committee.store.draft_head(number).submission
    assert not any(actor.person in str(decision) for actor in committee.members.values())


def test_an_open_draft_of_a_nomenclature_with_voting_rules_is_not_published(committee: Committee) -> None:
    with pytest.raises(VotesMissing):
        committee.publish(committee.drafted(), version="1.1", valid_from=NEXT_DAY)


def test_rules_that_come_after_a_submission_without_votes_ask_for_votes(store: Store) -> None:
    committee = Committee(store)
    ballots.set_rules(store, "aides", {}, actor=the_operator(store))
    number = committee.submitted()
    ballots.set_rules(store, "aides", RULES, actor=the_operator(store))

    with pytest.raises(VotesMissing):
        committee.publish(number)


def test_the_author_does_not_vote_and_a_mate_of_the_author_does(committee: Committee) -> None:
    number = committee.submitted()

    with pytest.raises(Forbidden):
        ballots.vote(committee.store, number, "approve", actor=committee.author)
    head = committee.vote(number, "dep-71")

    assert head.state == "submitted"
    assert [vote.organisation for vote in committee.store.votes(number, 1)] == ["dep-71"]


def test_nobody_votes_for_an_organisation_that_is_not_theirs(committee: Committee) -> None:
    number, stranger = committee.submitted(), a_member(committee.store, "member", organisation="ccas-lyon")

    for actor, organisation in ((committee.members["dep-01"], "dgcs"), (stranger, ""), (stranger, "dgcs")):
        with pytest.raises(Forbidden):
            ballots.vote(committee.store, number, "approve", actor=actor, organisation=organisation)

    assert committee.store.votes(number, 1) == []


def test_a_member_of_two_voters_says_for_which(committee: Committee) -> None:
    number = committee.submitted()
    both = replace(committee.members["dep-01"], memberships=frozenset({("dep-01", "member"), ("dgcs", "member")}))

    with pytest.raises(Invalid):
        ballots.vote(committee.store, number, "approve", actor=both)
    ballots.vote(committee.store, number, "approve", actor=both, organisation="dgcs")

    assert [vote.organisation for vote in committee.store.votes(number, 1)] == ["dgcs"]


def test_a_later_vote_of_an_organisation_takes_the_place_of_the_one_before(committee: Committee) -> None:
    number = committee.submitted()

    committee.vote(number, "dep-01")
    committee.vote(number, "dep-01", "reject", reason="Trop tôt.")
    head = committee.vote(number, "dgcs")

    said = [orjson.loads(entry) for entry in committee.store.journal_entries()]
    assert head.state == "submitted"
    assert [vote.choice for vote in committee.store.votes(number, 1)] == ["reject", "approve"]
    assert [one["after"][:14] for one in said if one["operation"] == "draft.vote"][:2] == [
        "dep-01 approve",
        "dep-01 reject ",
    ]


def test_a_rejection_needs_a_reason(committee: Committee) -> None:
    with pytest.raises(Invalid):
        committee.vote(committee.submitted(), "dep-01", "reject")


def test_a_vote_on_what_is_no_longer_submitted_is_refused(committee: Committee) -> None:
    number = committee.submitted()
    read = committee.store.draft_head(number).submission
    editing.put_concept(committee.store, number, a_concept("D"), actor=committee.author)
    committee.submitted(number)

    with pytest.raises(Stale):
        committee.vote(number, "dep-01", submission=read)


def test_there_is_no_vote_before_it_opens_nor_after_it_closes(committee: Committee) -> None:
    number = committee.submitted(opens=today() + timedelta(1), closes=today() + timedelta(2))

    with pytest.raises(Conflict, match="the vote is open from"):
        committee.vote(number, "dep-01")
    committee.days_pass(number, 2)
    committee.vote(number, "dep-01")
    committee.days_pass(number, 1)
    with pytest.raises(Conflict):
        committee.vote(number, "dgcs")

    assert [vote.organisation for vote in committee.store.votes(number, 1)] == ["dep-01"]


def test_a_vote_without_enough_approvals_is_rejected_when_it_closes(committee: Committee) -> None:
    number = committee.submitted()
    committee.vote(number, "dep-01")
    committee.days_pass(number, 14)

    settled = ballots.settle_all(committee.store)

    assert (settled, committee.store.draft_head(number).state) == (1, "rejected")
    with pytest.raises(VotesMissing):
        committee.publish(number)


def test_a_vote_in_the_past_or_more_than_a_year_away_is_refused(committee: Committee) -> None:
    number = committee.drafted()

    for day in ("opens", "closes"):
        for wrong in (date(2020, 1, 1), today() + timedelta(400), date.max):
            with pytest.raises(Invalid, match=day):
                committee.submitted(number, **{day: wrong})


def test_an_edit_voids_the_votes_and_says_so_to_whoever_voted(committee: Committee) -> None:
    number = committee.approved()

    editing.put_concept(committee.store, number, a_concept("D"), actor=committee.author)

    head = committee.store.draft_head(number)
    assert (head.state, head.ballot, head.ballots[0].voided_at != "") == ("open", None, True)
    assert [len(committee.notices(slug)) for slug in VOTERS] == [1, 0, 1]
    assert len(committee.store.votes(number, 1)) == 2
    with pytest.raises(VotesMissing):
        committee.publish(number, version="1.1", valid_from=NEXT_DAY)


def test_votes_of_a_round_before_do_not_count_in_the_next_even_on_the_same_content(committee: Committee) -> None:
    number = committee.approved()
    first = committee.store.draft_head(number).submission
    editing.put_concept(committee.store, number, a_concept("D"), actor=committee.author)
    editing.delete_concept(committee.store, number, "D", actor=committee.author)
    committee.submitted(number)

    assert committee.store.draft_head(number).submission == first
    with pytest.raises(VotesMissing):
        committee.publish(number)


def test_rows_changed_by_hand_after_the_vote_are_not_published(committee: Committee) -> None:
    number = committee.approved()
    with committee.store.database.writing() as connection:
        mine = t.draft_concept.c.draft_id == number
        state = connection.execute(select(t.draft_concept.c.state).where(mine)).scalar_one()
        connection.execute(update(t.draft_concept).where(mine).values(state=state.replace("désigne", "signifie")))

    with pytest.raises(Conflict, match="was submitted"):
        committee.publish(number)


def test_ballots_keep_the_rules_under_which_they_began(committee: Committee) -> None:
    number = committee.submitted()
    ballots.set_rules(committee.store, "aides", RULES | {"threshold": 3}, actor=the_operator(committee.store))

    committee.vote(number, "dep-01")
    committee.vote(number, "dgcs")

    assert committee.publish(number).version == "1.1"


# --- A mandatory consultation --------------------------------------------------------------------------------------


def test_a_consultation_without_quorum_is_called_again_and_then_needs_none(store: Store) -> None:
    committee = Committee(store, consultation=True, chair="dgcs", threshold=1, eachCollege=False)
    number = committee.submitted()
    ballots.attend(store, number, [Attendance("dgcs")], actor=committee.secretary)
    committee.vote(number, "dgcs")
    committee.days_pass(number, 14)
    ballots.settle_all(store)
    first = store.draft_head(number)

    ballots.second_call(store, number, actor=committee.secretary)
    ballots.attend(store, number, [Attendance("dgcs")], actor=committee.secretary)
    committee.vote(number, "dgcs")
    committee.days_pass(number, 14)

    assert (first.state, first.ballots[0].outcome) == ("submitted", "no_quorum")
    assert committee.publish(number).version == "1.1"
    record = ballots.decisions(store)
    assert [(one["call"], one["outcome"], one["released"]) for one in record] == [
        (2, "approved", True),
        (1, "no_quorum", False),
    ]


def test_whoever_holds_a_mandate_votes_for_the_one_that_gave_it(store: Store) -> None:
    committee = Committee(store, consultation=True, chair="dgcs", eachCollege=False)
    number = committee.submitted()
    with pytest.raises(Forbidden):
        ballots.vote(store, number, "approve", actor=committee.members["dgcs"], organisation="dep-01")

    rows = [Attendance("dgcs"), Attendance("dep-01", "dgcs")]
    ballots.attend(store, number, rows, actor=committee.secretary)
    for organisation in ("dgcs", "dep-01"):
        ballots.vote(store, number, "approve", actor=committee.members["dgcs"], organisation=organisation)
    committee.days_pass(number, 14)

    assert committee.publish(number).version == "1.1"


def test_whoever_moves_to_another_organisation_does_not_vote_for_it_too(store: Store) -> None:
    committee = Committee(store)
    number = committee.submitted()
    mover = committee.members["dep-01"]
    ballots.vote(store, number, "approve", actor=mover)
    access.leave(store, mover.person, "dep-01", "member", actor=the_operator(store))
    access.join(store, mover.person, "dgcs", "member", actor=the_operator(store))
    moved = access.actor_of(store, mover.person, door="session")

    with pytest.raises(Conflict, match="has voted for dep-01"):
        ballots.vote(store, number, "approve", actor=moved, organisation="dgcs")

    assert [vote.organisation for vote in store.votes(number, 1)] == ["dep-01"]


def test_a_list_of_presence_with_two_mandates_of_one_is_refused(store: Store) -> None:
    committee = Committee(store, consultation=True, chair="dgcs")
    rows = [Attendance("dgcs"), Attendance("dep-01", "dgcs"), Attendance("dep-71", "dgcs")]

    with pytest.raises(Invalid):
        ballots.attend(store, committee.submitted(), rows, actor=committee.secretary)


# --- Publication at an instant, and withdrawal -----------------------------------------------------------------------


def test_a_scheduled_draft_is_published_when_its_instant_has_come_and_not_before(committee: Committee) -> None:
    number, at = committee.approved(), datetime.now(UTC) + timedelta(hours=1)
    publishing.schedule(committee.store, number, at, actor=committee.secretary)
    signing_keys = keys_of(committee.store)

    early = publishing.publish_due(committee.store, signing_keys, at - timedelta(seconds=1))
    [(draft, edition)] = publishing.publish_due(committee.store, signing_keys, at)

    assert early == []
    assert (draft, edition and edition.version) == (number, "1.1")
    assert publishing.publish_due(committee.store, signing_keys, at) == []


def test_a_scheduled_draft_that_was_overtaken_is_not_published_and_the_secretary_is_told(committee: Committee) -> None:
    number, at = committee.approved(), datetime.now(UTC) + timedelta(hours=1)
    publishing.schedule(committee.store, number, at, actor=committee.secretary)
    other = committee.submitted(version="1.2")
    committee.vote(other, "dep-01")
    committee.vote(other, "dgcs")
    committee.publish(other)

    done = publishing.publish_due(committee.store, keys_of(committee.store), at)

    head = committee.store.draft_head(number)
    told = committee.store.unseen_notices(committee.secretary.person)
    assert (done, head.state, head.publish_at) == ([(number, None)], "approved", None)
    assert ["1.2" in notice.text for notice in told] == [True]


def test_an_edit_takes_a_scheduled_publication_back(committee: Committee) -> None:
    number, at = committee.approved(), datetime.now(UTC) + timedelta(hours=1)
    publishing.schedule(committee.store, number, at, actor=committee.secretary)

    editing.put_concept(committee.store, number, a_concept("D"), actor=committee.author)

    assert publishing.publish_due(committee.store, keys_of(committee.store), at) == []
    assert committee.store.draft_head(number).publish_at is None


def test_a_secretary_who_is_none_any_more_publishes_nothing_at_the_instant(committee: Committee) -> None:
    number, at = committee.approved(), datetime.now(UTC) + timedelta(hours=1)
    publishing.schedule(committee.store, number, at, actor=committee.secretary)
    committee.store.remove_membership(committee.secretary.person, "dgcs", "secretary")

    done = publishing.publish_due(committee.store, keys_of(committee.store), at)

    assert (done, committee.store.draft_head(number).state) == ([(number, None)], "approved")


def test_an_instant_that_is_past_or_beyond_all_clocks_is_refused(committee: Committee) -> None:
    number = committee.approved()

    for at in (datetime.now(UTC), datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))):
        with pytest.raises(Invalid):
            publishing.schedule(committee.store, number, at, actor=committee.secretary)


def test_a_withdrawn_release_stays_readable_and_the_one_before_is_in_force_again(committee: Committee) -> None:
    committee.publish(committee.approved())
    start = feed.page(committee.store, feed.BEGINNING, slug=None, limit=100).position

    publishing.withdraw(
        committee.store, "aides", "1.1", "Un code manque.", keys_of(committee.store), actor=committee.secretary
    )

    assert committee.store.in_force("aides", today()).version == "1.0"
    assert "C" in committee.store.release("aides", "1.1").concepts
    told = feed.page(committee.store, start, slug="aides", limit=100)
    assert [(one["type"], one["release"], one["why"]) for one in told.items] == [
        ("withdrawal", "1.1", "Un code manque.")
    ]
    assert feed.page(committee.store, told.position, slug="aides", limit=100).items == []
    with pytest.raises(Conflict):
        publishing.withdraw(
            committee.store, "aides", "1.1", "Encore.", keys_of(committee.store), actor=committee.secretary
        )


def test_the_feed_in_pages_of_any_size_tells_everything_once_and_in_order(committee: Committee) -> None:
    committee.publish(committee.approved())
    signing_keys = keys_of(committee.store)
    publishing.withdraw(committee.store, "aides", "1.0", "Un.", signing_keys, actor=committee.secretary)
    publishing.withdraw(committee.store, "aides", "1.1", "Deux.", signing_keys, actor=committee.secretary)
    whole = feed.page(committee.store, feed.BEGINNING, slug=None, limit=100).items

    for limit in range(1, len(whole) + 2):
        told, position, more = [], feed.BEGINNING, True
        while more:
            page = feed.page(committee.store, position, slug=None, limit=limit)
            told += page.items
            position, more = page.position, page.more
        assert told == whole

    assert [one["seq"] for one in whole] == sorted(one["seq"] for one in whole)
    assert [one["type"] for one in whole[-2:]] == ["withdrawal", "withdrawal"]


def test_only_a_secretary_withdraws_and_only_what_there_is(committee: Committee) -> None:
    signing_keys = keys_of(committee.store)

    with pytest.raises(Forbidden):
        publishing.withdraw(committee.store, "aides", "1.0", "Faute.", signing_keys, actor=committee.author)
    with pytest.raises(NotFound):
        publishing.withdraw(committee.store, "aides", "9.0", "Faute.", signing_keys, actor=committee.secretary)
    with pytest.raises(Invalid):
        publishing.withdraw(committee.store, "aides", "1.0", " ", signing_keys, actor=committee.secretary)


# --- Two at once ---------------------------------------------------------------------------------------------------


def _published_at_once(store: Store, number: int, secretaries: list[Actor]) -> list[str]:
    gate = threading.Barrier(len(secretaries))

    def publish(actor: Actor) -> str:
        gate.wait()
        try:
            return publishing.publish(store, number, keys_of(store), actor=actor).version
        except Conflict:
            return "conflict"

    with ThreadPoolExecutor(len(secretaries)) as pool:
        return list(pool.map(publish, secretaries))


@pytest.mark.faults
def test_of_eight_who_publish_one_draft_at_once_exactly_one_does(committee: Committee) -> None:
    secretaries = [committee.secretary, a_member(committee.store, "secretary", organisation="dep-01")] * 4

    for step in range(1, ROUNDS + 1):
        number = drafts.from_content(committee.store, "aides", actor=committee.author)
        editing.put_concept(committee.store, number, a_concept(f"N-{step}"), actor=committee.author)
        committee.submitted(number, version=f"1.{step}")
        committee.vote(number, "dep-01")
        committee.vote(number, "dgcs")

        found = _published_at_once(committee.store, number, secretaries)

        assert sorted(found) == [f"1.{step}", *["conflict"] * 7]


@pytest.mark.faults
def test_of_processes_that_publish_one_draft_at_once_exactly_one_does(
    committee: Committee, database_url: str, tmp_path: Path
) -> None:
    keys_of(committee.store)
    program = [sys.executable, "-m", "tests.publisher", database_url, str(tmp_path / "blobs")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}

    with ExitStack() as stack:
        secretary = committee.secretary.person
        processes = [stack.enter_context(subprocess.Popen([*program, secretary], **pipes)) for _ in range(2)]
        said = [iter(process.stdout or ()) for process in processes]
        assert [next(one) for one in said] == ["ready\n"] * 2
        for step in range(1, ROUNDS + 1):
            number = drafts.from_content(committee.store, "aides", actor=committee.author)
            editing.put_concept(committee.store, number, a_concept(f"N-{step}"), actor=committee.author)
            committee.submitted(number, version=f"1.{step}")
            committee.vote(number, "dep-01")
            committee.vote(number, "dgcs")

            for process in processes:
                assert process.stdin
                process.stdin.write(f"{number}\n")

            assert sorted(next(one).strip() for one in said) == [f"1.{step}", "conflict"]
        for process in processes:
            process.communicate(timeout=60)


def test_what_is_edited_while_it_is_published_is_not_lost(
    committee: Committee, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = committee.approved()
    real = publishing.write_files

    def edited_meanwhile(store: Store, release: Any) -> Any:
        editing.put_concept(store, number, a_concept("D"), actor=committee.author)
        return real(store, release)

    monkeypatch.setattr(publishing, "write_files", edited_meanwhile)

    with pytest.raises(Conflict):
        committee.publish(number)

    assert [edition.version for edition in committee.store.editions("aides")] == ["1.0"]
    assert "D" in committee.store.draft(number).concepts


# --- The story, by the API -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(committee: Committee, database_url: str, tmp_path: Path) -> Path:
    """The data folder of the committee's registry, its database where the test's is."""
    keys_of(committee.store)
    return tmp_path


@pytest.fixture
def client(committee: Committee, folder: Path, database_url: str) -> Iterator[FlaskClient]:
    """A client of the application over the committee's registry."""
    with running(settings_for(folder, database_url)) as app:
        yield app.test_client()


def mapped_to_b(store: Store) -> None:
    """A crosswalk of dep-01: its only code is exactly the shared B."""
    source = Source(CodeList("dep-01", "solis", "Codes du logiciel"), [LocalCode("17", "Aide B")])
    mapping = Mapping("17", "B", "exactMatch")
    editions.publish(
        store, source, "aides", [mapping], release="1.0", valid_from=A_DAY, author="dep-01", license="LO 2.0"
    )


def verified_offline(data: bytes, key_set: Path, folder: Path) -> None:
    """An archive, in a folder without any database, passes the verifier that came in it, and fails once touched."""
    place = folder / "chez l'éditeur"
    zipfile.ZipFile(io.BytesIO(data)).extractall(place)
    program = [sys.executable, "-I", "-B", str(place / "verification.py"), str(place), "--key", str(key_set)]

    sound = subprocess.run(program, check=False, capture_output=True, text=True)
    assert (sound.returncode, "vérifié : https://socle.example/aides@2.0" in sound.stdout) == (0, True), sound.stderr
    content = place / "nomenclature.nt"
    content.write_bytes(content.read_bytes().replace(b"Aide C", b"Aide D"))
    altered = subprocess.run(program, check=False, capture_output=True, text=True)
    assert (altered.returncode, "nomenclature.nt" in altered.stderr) == (1, True)


class Caller:
    """Somebody who calls the API with a token of theirs."""

    def __init__(self, client: FlaskClient, store: Store, actor: Actor) -> None:
        self.client, self.token = client, a_token(store, actor)

    def __call__(self, method: str, path: str, expected: int = 200, **options: Any) -> Any:
        """The JSON of an answer with the status expected, its ETag beside as ``etag``."""
        headers = bearer(self.token, **options.pop("headers", {}))
        response = self.client.open(f"/api/v1{path}", method=method, headers=headers, **options)
        assert response.status_code == expected, response.get_data(as_text=True)
        self.etag = response.headers.get("ETag", "")
        return response.get_json() if str(response.mimetype).endswith("json") else response.get_data()


def test_the_story_of_a_release_by_the_api(committee: Committee, client: FlaskClient, folder: Path) -> None:
    store = committee.store
    mapped_to_b(store)
    author, secretary = (Caller(client, store, actor) for actor in (committee.author, committee.secretary))
    members = {slug: Caller(client, store, committee.members[slug]) for slug in VOTERS}
    asker = Caller(client, store, a_member(store, "proposer", organisation="dep-01"))
    began = client.get("/api/v1/changes?limit=1000").get_json()["cursor"]

    # Somebody asks for it; the committee studies it.
    asked = {"nomenclature": "aides", "code": "B", "what": "Remplacer B par C.", "why": "B n'existe plus."}
    proposal = f"/proposals/{asker('POST', '/proposals', 201, json=asked)['id']}"
    author("GET", proposal)
    author("PATCH", proposal, json={"state": "studied"}, headers={"If-Match": author.etag})

    # A draft; its checks fail; it is mended; it retains the proposal.
    made = author("POST", "/drafts", 201, json={"nomenclature": "aides", "title": "C à la place de B"})
    address = f"/drafts/{made['draft']}"
    new = {"prefLabel": {"fr": "Aide C"}}
    author("PUT", f"{address}/concepts/C", 201, json=new, headers={"If-None-Match": "*"})
    old = author("GET", f"{address}/concepts/B")
    author("PUT", f"{address}/concepts/B", json={**old, "status": "deprecated"}, headers={"If-Match": author.etag})
    failed = author("GET", f"{address}/problems")["items"]
    assert {problem["rule"] for problem in failed} == {
        "concept_has_a_definition_or_scope_note",
        "deprecated_has_successor_or_reason",
    }
    author("GET", f"{address}/concepts/C")
    read = author.etag
    mended = {**new, "definition": {"fr": ["Ce que C désigne."]}}
    author("PUT", f"{address}/concepts/C", json=mended, headers={"If-Match": read})
    stale = author("PUT", f"{address}/concepts/C", 412, json=new, headers={"If-Match": read})
    assert (stale["theirs"]["definition"], stale["yours"]["definition"]) == ({"fr": ["Ce que C désigne."]}, {})
    author("GET", address)
    link = {"old": "B", "new": "C", "date": "2025-01-01", "kind": "same"}
    author("PATCH", address, json={"linksAdded": [link]}, headers={"If-Match": author.etag})
    assert author("GET", f"{address}/problems")["total"] == 0
    assert [one["code"] for one in author("GET", f"{address}/changes")["items"]] == ["B", "C"]
    author("GET", proposal)
    retained = {"state": "retained", "draft": made["draft"]}
    author("PATCH", proposal, json=retained, headers={"If-Match": author.etag})

    # Whom it concerns, before the vote.
    impact = author("GET", f"{address}/impact")
    assert [(one["code"], one["action"], one["successor"]["code"]) for one in impact["codes"]] == [
        ("B", "automatic", "C")
    ]
    assert [(one["organisation"], one["mappings"], one["byHand"]) for one in impact["items"]] == [("dep-01", 1, 0)]

    # Submitted; the author's vote is refused; two approvals; an edit voids them; two again.
    submission = {"version": "2.0", "validFrom": "2025-01-01"}
    author("POST", f"{address}/submit", 403, json=submission)
    secretary("POST", f"{address}/submit", json=submission)
    author("POST", f"{address}/votes", 403, json={"choice": "approve"})
    secretary("POST", f"{address}/publish", 409, json={})
    members["dep-01"]("POST", f"{address}/votes", json={"choice": "approve"})
    assert members["dgcs"]("POST", f"{address}/votes", json={"choice": "approve"})["state"] == "approved"
    author("GET", address)
    revised = {"acts": ["SSAA2412345D"], "basis": "Décret."}
    assert author("PATCH", address, json=revised, headers={"If-Match": author.etag})["state"] == "open"
    [told] = members["dep-01"]("GET", "/me")["notices"]
    assert members["dep-01"]("POST", "/me/notices/seen", json={"last": told["id"]}) == {"seen": 1}
    assert members["dep-01"]("GET", "/me")["notices"] == []
    secretary("POST", f"{address}/submit", json=submission)
    members["dep-01"]("POST", f"{address}/votes", json={"choice": "approve"})
    members["dgcs"]("POST", f"{address}/votes", json={"choice": "approve", "comment": "Conforme."})

    # Published, once; a vendor sees it; who asked is answered.
    once = {"Idempotency-Key": "publication-1"}
    edition = secretary("POST", f"{address}/publish", 201, json={}, headers=once)
    assert secretary("POST", f"{address}/publish", 201, json={}, headers=once) == edition
    secretary("POST", f"{address}/publish", 409, json={})
    pulled = client.get(f"/api/v1/changes?since={began}").get_json()
    assert [(one["type"], one.get("code")) for one in pulled["items"]] == [
        ("release", None),
        ("change", "B"),
        ("change", "C"),
    ]
    assert client.get("/api/v1/nomenclatures/aides/concepts/B").get_json()["replacedBy"][0]["code"] == "C"
    answered = client.get(f"/api/v1{proposal}").get_json()
    assert (answered["state"], answered["release"]) == ("released", "2.0")
    decision = client.get("/api/v1/nomenclatures/aides/releases/2.0/manifest").get_json()["decision"]
    assert decision["acts"] == ["SSAA2412345D"]
    assert [vote["organisation"] for vote in decision["votes"]] == ["dep-01", "dgcs"]

    # Verified offline, by what the vendor has pulled and the key alone.
    verified_offline(
        client.get("/api/v1/nomenclatures/aides/export?release=2.0&format=archive").get_data(),
        folder / "keys" / "1.json",
        folder,
    )

    # Withdrawn, still readable, marked.
    author("POST", "/nomenclatures/aides/releases/2.0/withdraw", 403, json={"why": "Faute."})
    secretary("POST", "/nomenclatures/aides/releases/2.0/withdraw", json={"why": "Un code manque."})
    status = client.get("/api/v1/nomenclatures/aides/releases/2.0/status").get_json()
    assert (status["status"], status["why"], status["inForce"]) == ("withdrawn", "Un code manque.", False)
    listed = client.get("/api/v1/nomenclatures/aides/releases").get_json()["items"]
    assert [(one["status"], one["why"]) for one in listed] == [("published", None), ("withdrawn", "Un code manque.")]
    assert client.get("/api/v1/nomenclatures/aides/concepts/C?release=2.0").status_code == 200
    assert client.get("/api/v1/nomenclatures/aides/releases/current").headers["Location"].endswith("/1.0")
    told = client.get(f"/api/v1/changes?since={pulled['cursor']}").get_json()["items"]
    assert [(one["type"], one["why"]) for one in told] == [("withdrawal", "Un code manque.")]
    page = client.get("/nomenclatures/aides?release=2.0").get_data(as_text=True)
    assert "Un code manque." in page

    # The record is public, and holds no person.
    record = client.get("/api/v1/decisions?nomenclature=aides")
    assert [(one["round"], one["outcome"], one["released"]) for one in record.get_json()["items"]] == [
        (2, "approved", True),
        (1, "approved", False),
    ]
    people = (committee.author, committee.secretary, *committee.members.values())
    assert not any(actor.person in record.get_data(as_text=True) for actor in people)


def test_drafts_are_read_by_those_alone_who_prepare_or_decide(committee: Committee, client: FlaskClient) -> None:
    address = f"/api/v1/drafts/{committee.drafted()}"
    mapper = Caller(client, committee.store, a_member(committee.store, "mapper", organisation="dep-01"))

    for path in ("", "/changes", "/problems", "/concepts/C", "/export?format=csv"):
        assert client.get(address + path).status_code == 401
        mapper("GET", f"{address.removeprefix('/api/v1')}{path}", 403)


def test_an_update_without_saying_what_it_was_made_from_is_refused(committee: Committee, client: FlaskClient) -> None:
    address = f"/drafts/{committee.drafted()}"
    author = Caller(client, committee.store, committee.author)

    author("PATCH", address, 428, json={"title": "Un"})
    author("PUT", f"{address}/concepts/C", 428, json={"prefLabel": {"fr": "C"}})
    author("DELETE", f"{address}/concepts/C", 428)
    author("PUT", f"{address}/content?format=csv", 428, data=b"code,libelle\r\n")
    author("PATCH", address, 412, json={"title": "Un"}, headers={"If-Match": '"autre"'})


def test_a_file_goes_out_and_comes_back_by_the_api(committee: Committee, client: FlaskClient) -> None:
    address = f"/drafts/{committee.drafted()}"
    author = Caller(client, committee.store, committee.author)
    data = author("GET", f"{address}/export?format=csv").decode()
    before = author("GET", address)

    same = author("PUT", f"{address}/content?format=csv", data=data.encode(), headers={"If-Match": author.etag})
    edited = data.replace("Aide C", "Aide D").encode()
    after = author("PUT", f"{address}/content?format=csv", data=edited, headers={"If-Match": author.etag})

    assert (same["revision"], after["revision"]) == (before["revision"], before["revision"] + 1)
    assert author("GET", f"{address}/concepts/C")["prefLabel"] == {"fr": "Aide D"}


def test_a_rebase_by_the_api_lists_what_clashes_and_takes_what_was_said(
    committee: Committee, client: FlaskClient
) -> None:
    number = drafts.from_content(committee.store, "aides", actor=committee.author)
    mine, theirs = (a_concept("C", pref_label=(("fr", text),)) for text in ("Le mien", "Le leur"))
    editing.put_concept(committee.store, number, mine, actor=committee.author)
    other = committee.drafted()
    editing.put_concept(committee.store, other, theirs, actor=committee.author)
    committee.submitted(other)
    committee.vote(other, "dep-01")
    committee.vote(other, "dgcs")
    committee.publish(other)
    author = Caller(client, committee.store, committee.author)

    assert author("GET", f"/drafts/{number}")["overtakenBy"] == "1.1"
    tag = author.etag
    refused = author("POST", f"/drafts/{number}/rebase", 409, json={}, headers={"If-Match": tag})
    taken = {"resolutions": [{"code": "C", "take": "ours"}]}
    done = author("POST", f"/drafts/{number}/rebase", json=taken, headers={"If-Match": tag})

    clash = {"code": "C", "field": "prefLabel", "base": [], "ours": {"fr": ["Le mien"]}, "theirs": {"fr": ["Le leur"]}}
    assert refused["clashes"] == [clash]
    assert (done["base"], done["overtakenBy"]) == ("1.1", None)


def test_voting_rules_are_read_by_anybody_and_set_by_those_who_may(committee: Committee, client: FlaskClient) -> None:
    path = "/nomenclatures/aides/rules"
    author, secretary = (Caller(client, committee.store, one) for one in (committee.author, committee.secretary))

    read = client.get(f"/api/v1{path}")
    tag = {"If-Match": read.headers["ETag"]}
    author("PUT", path, 403, json={}, headers=tag)
    wrong = secretary("PUT", path, 422, json={**RULES, "threshold": 9}, headers=tag)
    secretary("PUT", path, json={"voters": ["dgcs"]}, headers=tag)

    assert read.get_json()["threshold"] == 2
    assert [error["pointer"] for error in wrong["errors"]] == ["/threshold"]
    assert client.get(f"/api/v1{path}").get_json()["voters"] == ["dgcs"]


# --- The story, by the command -------------------------------------------------------------------------------------


@pytest.fixture
def socle(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command over the committee's registry, as a person: its JSON, once the exit code is the one expected."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SOCLE_DATABASE_URL", database_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(folder))

    def run(actor: Actor, *arguments: object, expected: int = 0) -> Any:
        result = CliRunner().invoke(main, ["--as", actor.person, *map(str, arguments), "--json"])
        assert result.exit_code == expected, result.output
        return json.loads(result.stdout)

    return run


def test_the_story_of_a_release_by_the_command(committee: Committee, socle: Callable[..., Any], tmp_path: Path) -> None:
    author, secretary, members = committee.author, committee.secretary, committee.members
    mapped_to_b(committee.store)
    asker = a_member(committee.store, "proposer", organisation="dep-01")

    # Somebody asks for it; the committee studies it.
    asked = ("--code", "B", "--what", "Remplacer B par C.", "--why", "B n'existe plus.")
    proposal = socle(asker, "proposal", "create", "aides", *asked)["id"]
    socle(asker, "proposal", "study", proposal, expected=1)
    assert socle(author, "proposal", "study", proposal)["state"] == "studied"

    # A draft; its checks fail; it is mended, by hand and by file.
    number = socle(author, "draft", "new", "aides", "--title", "C à la place de B")["draft"]
    socle(author, "draft", "edit", number, "C", "--set", "prefLabel.fr=Aide C")
    socle(author, "draft", "edit", number, "B", "--set", "status=deprecated")
    failed = socle(author, "draft", "check", number, expected=1)
    assert {problem["rule"] for problem in failed["problems"]} == {
        "concept_has_a_definition_or_scope_note",
        "deprecated_has_successor_or_reason",
    }
    socle(author, "draft", "edit", number, "C", "--set", "definition=Ce que C désigne.", "--add", "altLabel.fr=Autre C")
    (tmp_path / "c.json").write_text(json.dumps({"prefLabel": {"fr": "Aide C"}, "definition": {"fr": "Autrement."}}))
    tag = socle(author, "draft", "show", number, "C")["tag"]
    socle(author, "draft", "edit", number, "C", "--file", "c.json", "--tag", tag)
    socle(author, "draft", "edit", number, "C", "--set", "definition=Non.", "--tag", tag, expected=4)
    socle(author, "draft", "edit", number, "--link", "B", "C", "2025-01-01", "same")
    exported = CliRunner().invoke(main, ["--as", author.person, "draft", "export", str(number), "--format", "csv"])
    (tmp_path / "edited.csv").write_text(exported.stdout.replace("Autrement.", "Ce que C désigne."))
    assert socle(author, "draft", "import", number, "edited.csv")["changed"] == ["C"]
    assert socle(author, "draft", "check", number)["total"] == 0
    assert [one["code"] for one in socle(author, "draft", "diff", number)["items"]] == ["B", "C"]
    assert socle(author, "draft", "list", "--state", "open")["total"] == 1
    assert socle(author, "proposal", "retain", proposal, number)["state"] == "retained"

    # Whom it concerns, before the vote.
    impact = socle(author, "draft", "impact", number)
    assert [(one["code"], one["successor"]["code"], one["organisations"]) for one in impact["codes"]] == [("B", "C", 1)]

    # Submitted; the author's vote is refused; two approvals; an edit voids them; two again.
    submission = ("draft", "submit", number, "--version", "2.0", "--valid-from", "2025-01-01")
    socle(author, *submission, expected=1)
    socle(secretary, *submission)
    socle(author, "draft", "vote", number, "approve", expected=1)
    socle(secretary, "publish", number, expected=4)
    socle(members["dep-01"], "draft", "vote", number, "approve")
    assert socle(members["dgcs"], "draft", "vote", number, "approve")["state"] == "approved"
    assert socle(author, "draft", "edit", number, "--basis", "Décret.", "--act", "SSAA2412345D")["state"] == "open"
    assert socle(members["dep-01"], "notices", "--seen")["total"] == 1
    assert socle(members["dep-01"], "notices")["total"] == 0
    socle(secretary, *submission)
    socle(members["dep-01"], "draft", "vote", number, "approve", "--comment", "Conforme.")
    socle(members["dgcs"], "draft", "vote", number, "approve")

    # Published; a vendor sees it; who asked is answered; it is verified without the registry.
    assert socle(secretary, "publish", number)["version"] == "2.0"
    assert [one["type"] for one in socle(secretary, "changes")["items"]][-3:] == ["release", "change", "change"]
    assert [(one["state"], one["release"]) for one in socle(asker, "proposal", "list")["items"]] == [
        ("released", "2.0")
    ]
    exporting = ["export", "aides@2.0", "--format", "archive", "-o", "aides.zip"]
    assert CliRunner().invoke(main, exporting).exit_code == 0
    verified_offline((tmp_path / "aides.zip").read_bytes(), tmp_path / "keys" / "1.json", tmp_path)

    # Withdrawn, still readable, marked.
    socle(author, "withdraw-release", "aides@2.0", "--why", "Faute.", expected=1)
    socle(secretary, "withdraw-release", "aides@2.0", "--why", "Un code manque.")
    assert [one["type"] for one in socle(secretary, "changes")["items"]][-1] == "withdrawal"
    assert [(one["version"], one["status"]) for one in socle(secretary, "releases", "aides")["items"]] == [
        ("1.0", "published"),
        ("2.0", "withdrawn"),
    ]
    for reading in (["show", "aides/C", "--release", "2.0"], ["diff", "aides", "1.0", "2.0"], ["history", "aides/C"]):
        read = CliRunner().invoke(main, reading)
        assert (read.exit_code, read.output.count(" : Un code manque.")) == (0, 1), read.output
    assert socle(secretary, "show", "aides/C", "--release", "2.0")["code"] == "C"
    assert [one["outcome"] for one in socle(secretary, "decisions")["items"]] == ["approved", "approved"]


def test_work_publishes_what_is_due(committee: Committee, socle: Callable[..., Any]) -> None:
    number = committee.approved()
    at = datetime.now(UTC) + timedelta(seconds=1.5)
    scheduled = socle(committee.secretary, "publish", number, "--at", at.isoformat())
    time.sleep(2)  # Until the instant has passed: the command reads the real clock.

    done = CliRunner().invoke(main, ["work", "--once"])

    assert scheduled["state"] == "scheduled"
    assert done.output == "publié : aides@1.1\n"


def test_work_goes_on_until_it_is_told_to_stop_and_ends_with_success(
    committee: Committee, folder: Path, database_url: str
) -> None:
    number = committee.approved()
    publishing.schedule(committee.store, number, datetime.now(UTC) + timedelta(seconds=1), actor=committee.secretary)
    settings = {"SOCLE_DATABASE_URL": database_url, "SOCLE_DATA_DIR": str(folder), "PYTHONPATH": str(Path.cwd())}
    program = [sys.executable, "-c", "from cli.main import main; main()", "work", "--every", "1"]

    with subprocess.Popen(program, env={**os.environ, **settings}, cwd=folder, stdout=subprocess.PIPE) as process:
        told = next(iter(process.stdout or ()))
        process.terminate()
        code = process.wait(30)

    assert (told.decode(), code) == ("publié : aides@1.1\n", 0)


def test_without_voting_rules_a_draft_is_scheduled_with_its_version(
    committee: Committee, socle: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "rules.json").write_text("{}")
    socle(the_operator(committee.store), "nomenclatures", "rules", "aides", "rules.json")
    number = committee.drafted()
    at = ("--at", "2999-01-01T00:00:00Z")

    socle(committee.secretary, "publish", number, *at, expected=1)
    found = socle(committee.secretary, "publish", number, *at, "--version", "1.1", "--valid-from", "2025-01-01")

    assert (found["state"], found["version"]) == ("scheduled", "1.1")


def test_an_attendance_list_is_given_by_the_command(store: Store, socle: Callable[..., Any]) -> None:
    ballots.set_rules(store, "aides", RULES | {"consultation": True, "chair": "dgcs"}, actor=the_operator(store))
    author, secretary = a_member(store, "editor", organisation="dep-01"), a_member(store, "secretary")
    number = drafts.from_content(store, "aides", actor=author)
    editing.put_concept(store, number, a_concept("C"), actor=author)
    socle(secretary, "draft", "submit", number, "--version", "1.1", "--valid-from", "2025-01-01")

    found = socle(secretary, "draft", "attend", number, "--present", "dgcs", "--mandate", "dep-01=dgcs")

    assert found["ballot"]["quorum"] == {
        "asked": True,
        "present": ["dgcs"],
        "mandates": {"dep-01": "dgcs"},
        "reached": True,
    }
    socle(secretary, "draft", "second-call", number, expected=4)
    said = CliRunner().invoke(main, ["nomenclatures", "rules", "aides"]).output
    assert "voters : dep-01, dep-71, dgcs\n" in said
    assert "consultation : oui\nchair : dgcs\n" in said


def test_no_key_is_a_refusal_before_anything_is_written(committee: Committee, tmp_path: Path) -> None:
    number = committee.approved()
    empty = tmp_path / "others"
    strangers = keys.generate(empty, "https://socle.example/")
    before = set(committee.store.blobs.folder.rglob("*"))

    with pytest.raises(Exception, match="key"):
        publishing.publish(committee.store, number, strangers, actor=committee.secretary)

    assert set(committee.store.blobs.folder.rglob("*")) == before
    assert committee.store.draft_head(number).state == "approved"
