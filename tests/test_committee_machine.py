"""Any sequence of edits, votes, rebases, publications and withdrawals keeps what always holds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from registry import access, ballots, drafts, editing, publishing, signing
from registry.changes import least_version
from registry.errors import Conflict, Forbidden, Stale
from registry.model import french
from registry.store import Store
from tests.factories import a_concept, examples, keys_of
from tests.postgres import Cluster
from tests.test_committee import NEXT_DAY, VOTERS, Committee

CODES = ("A", "B", "C", "D", "E")
THRESHOLD = 2


@dataclass
class Known:
    """What the model knows of a draft: which base, what it says of which codes, and who voted what on it."""

    base: str
    labels: dict[str, str] = field(default_factory=dict)
    submitted: str = ""
    votes: dict[str, str] = field(default_factory=dict)
    over: str = ""

    @property
    def approved(self) -> bool:
        """Whether enough organisations approve what is submitted."""
        return bool(self.submitted) and list(self.votes.values()).count("approve") >= THRESHOLD

    def edited(self) -> None:
        """An edit takes the submission and its votes back."""
        self.submitted, self.votes = "", {}


class CommitteeMachine(RuleBasedStateMachine):
    """A committee that does whatever comes, beside a model in a few dictionaries."""

    opened: Callable[[ExitStack], Store]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.store = type(self).opened(self.stack)
        self.committee = Committee(self.store, threshold=THRESHOLD, eachCollege=False)
        self.drafts: dict[int, Known] = {}
        self.releases: dict[str, dict[str, str]] = {"1.0": {"A": "", "B": ""}}
        self.withdrawn: set[str] = set()
        self.log: list[bytes] = []

    def teardown(self) -> None:
        """Close the registry and drop it."""
        self.stack.close()

    @property
    def newest(self) -> str:
        """The release that the next one is made from."""
        return list(self.releases)[-1]

    def _open_draft(self, data: Any) -> int:
        return int(data.draw(st.sampled_from([number for number, known in self.drafts.items() if not known.over])))

    def _some_draft(self, data: Any) -> int:
        return int(data.draw(st.sampled_from(sorted(self.drafts))))

    # --- What may come -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.drafts) < 4)
    @rule()
    def begin(self) -> None:
        """Somebody begins a draft."""
        number = drafts.from_content(self.store, "aides", actor=self.committee.author)
        self.drafts[number] = Known(self.newest)

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), code=st.sampled_from(CODES), label=st.sampled_from(("Un", "Deux", "Trois")))
    def edit(self, data: Any, code: str, label: str) -> None:
        """Somebody gives a concept another alternative label, or makes it."""
        number = self._some_draft(data)
        known = self.drafts[number]
        concept = a_concept(code, alt_label=french(f"{label} {code}"))
        if known.over:
            with pytest.raises(Conflict):
                editing.put_concept(self.store, number, concept, actor=self.committee.author)
            return
        before = drafts.concept_in(self.store, self.store.draft_head(number), code)
        with pytest.raises(Stale):
            editing.put_concept(self.store, number, concept, actor=self.committee.author, tag="autre")
        editing.put_concept(self.store, number, concept, actor=self.committee.author, tag=before.tag)
        if before.concept != concept:
            known.edited()
        known.labels[code] = f"{label} {code}"

    @precondition(lambda self: any(not known.over for known in self.drafts.values()))
    @rule(data=st.data())
    def submit(self, data: Any) -> None:
        """A secretary submits a draft under the version that it deserves."""
        number = self._open_draft(data)
        known = self.drafts[number]
        version = str(least_version(self.newest, "compatible"))
        given: dict[str, Any] = {"version": version, "valid_from": NEXT_DAY, "actor": self.committee.secretary}
        if known.submitted or known.base != self.newest:
            with pytest.raises(Conflict):
                drafts.submit(self.store, number, **given)
        else:
            drafts.submit(self.store, number, **given)
            known.submitted = version

    @precondition(lambda self: self.drafts)
    @rule(
        data=st.data(), organisation=st.sampled_from(VOTERS), choice=st.sampled_from(("approve", "reject", "abstain"))
    )
    def vote(self, data: Any, organisation: str, choice: Any) -> None:
        """A member votes; the author is refused."""
        number = self._some_draft(data)
        known = self.drafts[number]
        if not known.submitted or known.approved or known.over:
            with pytest.raises(Conflict):
                self.committee.vote(number, organisation, choice, reason="Motif.")
            return
        with pytest.raises(Forbidden):
            ballots.vote(self.store, number, choice, actor=self.committee.author, reason="Motif.")
        self.committee.vote(number, organisation, choice, reason="Motif.")
        known.votes[organisation] = choice

    @precondition(lambda self: self.drafts)
    @rule(data=st.data())
    def publish(self, data: Any) -> None:
        """A secretary publishes: only what is approved, on the last release."""
        number = self._some_draft(data)
        known = self.drafts[number]
        if known.over or not known.approved or known.base != self.newest:
            with pytest.raises(Conflict):
                self.committee.publish(number)
            return
        edition = self.committee.publish(number)
        assert edition.version == known.submitted
        decision = orjson.loads(self.store.manifest("aides", edition.version))["decision"]
        assert {vote["organisation"]: vote["choice"] for vote in decision["votes"]} == known.votes
        self.releases[edition.version] = self.releases[self.newest] | known.labels
        known.over = "published"

    @precondition(lambda self: any(not known.over for known in self.drafts.values()))
    @rule(data=st.data(), side=st.sampled_from(("ours", "theirs")))
    def rebase(self, data: Any, side: Any) -> None:
        """An editor puts a draft on the last release, and says which side holds where it clashes."""
        number = self._open_draft(data)
        known = self.drafts[number]
        base, last = self.releases[known.base], self.releases[self.newest]
        clashing = [
            code
            for code, label in known.labels.items()
            if label != base.get(code) and last.get(code) not in (base.get(code), label)
        ]
        sides: Any = {(code, ""): side for code in clashing}
        if clashing:
            with pytest.raises(Conflict):
                editing.rebase(self.store, number, actor=self.committee.author)
        editing.rebase(self.store, number, sides, actor=self.committee.author)
        if known.base == self.newest:
            return
        known.edited()
        known.base = self.newest
        if side == "theirs":
            known.labels.update({code: last[code] for code in clashing})
        # What was left as the old base had it follows the new one.
        known.labels = {code: label for code, label in known.labels.items() if label != base.get(code)}

    @precondition(lambda self: any(not known.over for known in self.drafts.values()))
    @rule(data=st.data())
    def withdraw(self, data: Any) -> None:
        """A draft is given up."""
        number = self._open_draft(data)
        drafts.withdraw(self.store, number, actor=self.committee.secretary)
        self.drafts[number].over = "withdrawn"

    @rule(data=st.data())
    def withdraw_release(self, data: Any) -> None:
        """A release is withdrawn, once."""
        version = data.draw(st.sampled_from(list(self.releases)))
        given = (self.store, "aides", version, "Faute.", keys_of(self.store))
        if version in self.withdrawn:
            with pytest.raises(Conflict):
                publishing.withdraw(*given, actor=self.committee.secretary)
        else:
            publishing.withdraw(*given, actor=self.committee.secretary)
            self.withdrawn.add(version)

    # --- What always holds -------------------------------------------------------------------------------------------

    @invariant()
    def releases_are_what_they_were(self) -> None:
        """Every release is there, in order, with the content that was approved and the hash that was signed."""
        editions = self.store.editions("aides")
        assert [edition.version for edition in editions] == list(self.releases)
        for edition in editions:
            release = self.store.release("aides", edition.version)
            content = b"".join(signing.canonical_lines(release))
            assert signing.sha256(content) == edition.content_sha256
            labels = {code: dict(concept.alt_label).get("fr", "") for code, concept in release.concepts.items()}
            assert labels == self.releases[edition.version]
        assert {edition.version for edition in editions if edition.withdrawn_at} == self.withdrawn

    @invariant()
    def no_code_disappears(self) -> None:
        """A code that was published is in every later release."""
        codes: set[str] = set()
        for labels in self.releases.values():
            assert codes <= labels.keys()
            codes |= labels.keys()

    @invariant()
    def chains_only_grow(self) -> None:
        """The log keeps what it had, and both chains are whole."""
        log = self.store.log_entries()
        assert log[: len(self.log)] == self.log
        assert signing.check_chain(log) == len(log)
        access.check_journal(self.store)
        self.log = log

    @invariant()
    def drafts_are_what_the_model_says(self) -> None:
        """State, base and votes of each draft; a submission is the hash of what the draft holds now."""
        for number, known in self.drafts.items():
            draft = self.store.draft(number)
            expected = known.over or ("approved" if known.approved else "submitted" if known.submitted else "open")
            assert (draft.state, draft.base) == (expected, known.base)
            if known.submitted and not known.over:
                assert draft.ballot is not None
                votes = self.store.votes(number, draft.ballot.round)
                assert {vote.organisation: vote.choice for vote in votes} == known.votes
                assert all(vote.person != draft.author for vote in votes)
                release = drafts.content_of(
                    draft, drafts.base_of(self.store, draft), version=draft.version, valid_from=NEXT_DAY
                )
                assert draft.submission == drafts.submission_of(draft, release)


def _run(opened: Callable[[ExitStack], Store], *, count: int) -> None:
    machine = type("Machine", (CommitteeMachine,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=count,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory()))


@pytest.mark.fuzz
def test_any_sequence_keeps_what_always_holds_on_sqlite(sqlite_template: Path) -> None:
    def opened(stack: ExitStack) -> Store:
        folder = _folder(stack)
        store = Store(f"sqlite:///{shutil.copyfile(sqlite_template, folder / 'socle.db')}", folder / "blobs")
        stack.callback(store.close)
        return store

    _run(opened, count=examples(4))


@pytest.mark.fuzz
def test_any_sequence_keeps_what_always_holds_on_postgresql(postgres: Cluster) -> None:
    def opened(stack: ExitStack) -> Store:
        store = Store(stack.enter_context(postgres.copy("socle_template")), _folder(stack) / "blobs")
        stack.callback(store.close)
        return store

    _run(opened, count=examples(2))
