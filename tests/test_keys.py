"""Keys sign only what they may, from files that nobody else reads, and are changed by those who hold the root keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from securesystemslib.dsse import Envelope

from cli.main import main
from registry import doctor, keys, verification
from registry.errors import Conflict, Damaged, Forbidden, KeyRefused
from registry.keys import Keys, Role
from registry.store import Store
from registry.verification import Trust, Unverified, canonical, sha256
from tests.factories import AN_INSTANT, a_draft, a_member, a_release, keys_of, published, the_operator
from tests.test_doctor import Patient

REGISTRY = "https://socle.example/"


def rotated(store: Store, held: Keys | None = None, *replace: str, revoke: Mapping[str, int] | None = None) -> Keys:
    found = held or keys_of(store)
    return keys.rotate(store, found, replace=replace, revoke=revoke, at=AN_INSTANT, actor=the_operator(store))


def holders(held: Keys, role: str) -> list[str]:
    return sorted(verification.key_sets(held.sets)[-1].roles[role][0])


def verified(store: Store) -> int:
    return len(doctor.verified_log(store, Trust()).entries)


# --- Key material -----------------------------------------------------------------------------------------------------


def readable_key(folder: Path) -> None:
    next((folder / "private").iterdir()).chmod(0o644)


def readable_folder(folder: Path) -> None:
    (folder / "private").chmod(0o750)


def replaceable_sets(folder: Path) -> None:
    folder.chmod(0o777)


def linked_key(folder: Path) -> None:
    path = next((folder / "private").iterdir())
    target = path.rename(folder.parent / path.name)
    path.symlink_to(target)


def no_private_keys(folder: Path) -> None:
    for path in (folder / "private").iterdir():
        path.unlink()


def no_keys(folder: Path) -> None:
    (folder / "1.json").unlink()


def swapped_keys(folder: Path) -> None:
    first, second = sorted((folder / "private").iterdir())
    second.write_bytes(first.read_bytes())


def spoiled_key(folder: Path) -> None:
    for path in (folder / "private").iterdir():
        path.write_bytes(path.read_bytes()[:60])


def altered_set(folder: Path) -> None:
    envelope = json.loads((folder / "1.json").read_bytes())
    payload = json.loads(base64.b64decode(envelope["payload"]))
    envelope["payload"] = base64.b64encode(canonical({**payload, "registry": "https://autre.example/"})).decode()
    (folder / "1.json").write_bytes(canonical(envelope))


FAULTS: list[Callable[[Path], None]] = [
    readable_key,
    readable_folder,
    replaceable_sets,
    linked_key,
    no_private_keys,
    no_keys,
    swapped_keys,
    spoiled_key,
    altered_set,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_written_with_key_material_that_is_not_as_it_must_be(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], None]
) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    draft = a_draft(store, a_release())
    private = [path.read_bytes() for path in (keys_of(store).folder / "private").iterdir()]
    monkeypatch.setenv("SOCLE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))
    fault(tmp_path / "keys")

    done = run("publish", draft, "--version", "1.0", "--valid-from", "2024-01-01")

    assert done.exit_code == 5, done.output
    assert str(tmp_path / "keys") in done.output or "clés" in done.output
    assert not any(line in done.output.encode() for data in private for line in data.splitlines()[1:-1])
    assert (store.editions("aides"), store.log_entries(), store.key_sets(), store.named_files()) == ([], [], [], set())
    store.close()


def test_private_keys_are_for_their_owner_alone_and_public_ones_for_all(tmp_path: Path) -> None:
    made = keys.generate(tmp_path / "keys", REGISTRY, root=Role(3, 2))

    modes = {path.stat().st_mode & 0o777 for path in (made.folder / "private").iterdir()}

    assert modes == {0o600}
    assert (made.folder / "private").stat().st_mode & 0o777 == 0o700
    assert len(list((made.folder / "private").iterdir())) == 4
    assert verification.key_sets(made.sets)[0].roles["root"][1] == 2
    with pytest.raises(KeyRefused, match="holds keys already"):
        keys.generate(tmp_path / "keys", REGISTRY)


def test_the_keys_of_another_registry_sign_nothing(store: Store, tmp_path: Path) -> None:
    published(store, a_release())
    other = keys.generate(tmp_path / "others", REGISTRY)

    with pytest.raises(KeyRefused, match="another registry"):
        store.withdraw_release("aides", "1.0", "Erreur.", AN_INSTANT, other)

    assert len(store.log_entries()) == 2
    assert store.edition("aides", "1.0").withdrawn_at is None


# --- A log that nobody signed, or that somebody altered ---------------------------------------------------------------


def altered(store: Store, table: str, sql: str) -> None:
    Patient(store, store.blobs.folder.parent, "").alter(table, sql)


def test_the_log_of_an_older_registry_is_signed_beside_as_it_is(store: Store) -> None:
    published(store, a_release())
    published(store, a_release(version="1.1"))
    entries, held = store.log_entries(), keys_of(store)
    for table in ("signature", "checkpoint", "key_set"):
        altered(store, table, f"DELETE FROM {table}")

    signed = store.sign_log(held), store.sign_log(held)

    assert signed == (4, 0)
    assert store.log_entries() == entries
    assert verified(store) == 4
    assert all(store.checkpoint(size) for size in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("log", "UPDATE log SET entry = replace(entry, 'Essai', 'Essay') WHERE seq = 1"),
        ("signature", "DELETE FROM signature WHERE seq = 1"),
        ("checkpoint", "DELETE FROM checkpoint WHERE size = 2"),
        ("checkpoint", "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 1) WHERE size = 2"),
    ],
)
def test_a_log_that_somebody_altered_is_not_signed_over(store: Store, table: str, sql: str) -> None:
    published(store, a_release())
    altered(store, table, sql)

    with pytest.raises(Damaged, match="release log"):
        published(store, a_release(version="1.1"))

    assert store.head() == 2


def test_key_sets_that_somebody_put_into_the_database_sign_nothing(store: Store, tmp_path: Path) -> None:
    published(store, a_release())
    [false] = keys.generate(tmp_path / "false", REGISTRY).sets
    altered(store, "key_set", f"UPDATE key_set SET envelope = '{false.decode()}'")

    with pytest.raises(KeyRefused, match="another registry"):
        published(store, a_release(version="1.1"))

    assert store.head() == 2


# --- Changing keys ----------------------------------------------------------------------------------------------------


def test_keys_are_replaced_and_what_was_signed_before_stays_valid(store: Store) -> None:
    published(store, a_release())
    first = keys_of(store)

    second = rotated(store, None, "publication", "root")
    published(store, a_release(version="1.1"))

    assert verified(store) == 5
    assert json.loads(store.log_entries()[2])["type"] == "keys"
    assert not set(holders(first, "publication")) & set(holders(second, "publication"))
    assert store.key_sets() == list(second.sets) == [(second.folder / f"{n}.json").read_bytes() for n in (1, 2)]


def test_a_stolen_key_is_revoked_from_an_entry_on(store: Store) -> None:
    published(store, a_release())
    [stolen] = holders(keys_of(store), "publication")

    rotated(store, revoke={stolen: 3})
    published(store, a_release(version="1.1"))

    assert verified(store) == 5
    assert verification.key_sets(store.key_sets())[-1].revoked == {stolen: 3}


def test_a_revocation_that_would_undo_what_was_signed_is_refused_and_leaves_no_key(store: Store) -> None:
    published(store, a_release())
    held = keys_of(store)
    [stolen] = holders(held, "publication")
    before = sorted((held.folder / "private").iterdir())

    with pytest.raises(Conflict, match="révoquée à partir de l'entrée 2"):
        rotated(store, revoke={stolen: 2})

    assert sorted((held.folder / "private").iterdir()) == before
    assert store.key_sets() == list(held.sets)
    assert verified(store) == 2


def test_root_keys_kept_elsewhere_are_needed_to_change_keys_and_not_to_publish(store: Store, tmp_path: Path) -> None:
    held = keys.generate(tmp_path / "keys", REGISTRY, root=Role(3, 2))
    (tmp_path / "safe").mkdir()
    safe = [(held.folder / "private" / f"{keyid}.pem") for keyid in holders(held, "root")]
    safe = [path.rename(tmp_path / "safe" / path.name) for path in safe]
    published(store, a_release())

    with pytest.raises(KeyRefused, match="asks for 2 root key"):
        rotated(store, Keys.opened(held.folder).with_private(safe[:1]), "publication")
    rotated(store, Keys.opened(held.folder).with_private(safe[1:]), "publication")

    assert verified(store) == 3


def test_only_an_administrator_changes_keys(store: Store) -> None:
    published(store, a_release())
    reader = a_member(store, "reader")

    with pytest.raises(Forbidden):
        keys.rotate(store, keys_of(store), replace=["publication"], at=AN_INSTANT, actor=reader)

    assert len(store.key_sets()) == 1


def test_two_publication_keys_are_two_signatures_of_different_keys(store: Store, tmp_path: Path) -> None:
    keys.generate(tmp_path / "keys", REGISTRY, publication=Role(2, 2))
    published(store, a_release())
    [(first, envelope), *_] = store.sealed_entries()
    found = json.loads(envelope)
    one = found["signatures"][0]

    def verify(*signatures: Mapping[str, str]) -> None:
        changed = canonical({**found, "signatures": list(signatures)})
        envelopes = [changed, store.sealed_entries()[1].envelope]
        verification.verify_log(store.log_entries(), envelopes, store.checkpoint(), store.key_sets())

    verify(*found["signatures"])
    with pytest.raises(Unverified, match=r"signature de l'entrée 1 : il y faut 2 clé"):
        verify(one)
    with pytest.raises(Unverified, match=r"signature de l'entrée 1 : une clé y signe deux fois"):
        verify(one, one)
    with pytest.raises(Unverified, match=r"signature de l'entrée 1 : signature fausse"):
        verify(one, {**found["signatures"][1], "sig": one["sig"]})
    assert first == store.log_entries()[0]


# --- Key sets that nobody may have signed -----------------------------------------------------------------------------


def signed_set(held: Keys, signers: Sequence[str], **changes: Any) -> bytes:
    """A key set that follows the last of these keys, with what is given, signed by the keys that are named."""
    payload = json.loads(base64.b64decode(json.loads(held.sets[-1])["payload"]))
    previous = sha256(canonical(payload))
    envelope = Envelope(
        canonical({**payload, "version": payload["version"] + 1, "previous": previous, **changes}),
        verification.KEYS,
        {},
    )
    for keyid in signers:
        envelope.sign(held.signers[keyid])
    return canonical(envelope.to_dict())


def test_a_key_set_is_signed_by_the_root_keys_before_it(tmp_path: Path) -> None:
    held = keys.generate(tmp_path / "keys", REGISTRY, root=Role(2, 2))
    other = keys.generate(tmp_path / "others", REGISTRY)
    root, [publication] = holders(held, "root"), holders(held, "publication")
    stolen = {"keyids": holders(other, "root"), "threshold": 1}
    named = {keyid: keys._public(signer) for keyid, signer in {**held.signers, **other.signers}.items()}
    roles = {"root": stolen, "publication": {"keyids": [publication], "threshold": 1}}
    both = Keys(held.folder, held.sets, {**held.signers, **other.signers})

    def chain(envelope: bytes) -> None:
        verification.key_sets([*held.sets, envelope])

    chain(signed_set(held, root))
    chain(signed_set(both, [*root, *stolen["keyids"]], keys=named, roles=roles))  # type: ignore[misc]  # JSON.
    with pytest.raises(Unverified, match=r"jeu de clés 2 : il y faut 2 signature"):
        chain(signed_set(held, root[:1]))
    with pytest.raises(Unverified, match=r"jeu de clés 2 : il y faut 2 signature"):
        chain(signed_set(both, stolen["keyids"], keys=named, roles=roles))  # type: ignore[arg-type]  # JSON.
    with pytest.raises(Unverified, match=r"jeu de clés 2 : il y faut 1 signature"):
        chain(signed_set(both, root, keys=named, roles=roles))
    with pytest.raises(Unverified, match=r"jeu de clés 2 : signé par une clé qui n'est pas une clé racine"):
        chain(signed_set(held, [*root, publication]))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 3}, "porte le numéro 3"),
        ({"previous": "1" * 64}, "ne suit pas le jeu précédent"),
        ({"registry": "https://autre.example/"}, "d'un autre registre"),
        ({"form": 2}, "d'une forme inconnue"),
        ({"roles": {}}, "rôle inconnu ou absent"),
        ({"keys": {}}, "rôle mal formé"),
        ({"revoked": {"a": 0}}, "révocation mal formée"),
    ],
)
def test_a_key_set_says_what_it_must(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    held = keys.generate(tmp_path / "keys", REGISTRY)

    with pytest.raises(Unverified, match=f"jeu de clés 2 : .*{why}"):
        verification.key_sets([*held.sets, signed_set(held, holders(held, "root"), **changes)])


def test_a_revocation_is_never_forgotten(store: Store) -> None:
    published(store, a_release())
    [stolen] = holders(keys_of(store), "publication")
    held = rotated(store, revoke={stolen: 3})

    with pytest.raises(Unverified, match="jeu de clés 3 : oublie une révocation"):
        verification.key_sets([*held.sets, signed_set(held, holders(held, "root"), revoked={})])


# --- The commands -----------------------------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_keys_are_made_changed_and_listed_by_commands(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCLE_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SOCLE_DATA_DIR", str(tmp_path))

    made, again = run("key", "generate", "--root", 3, "--threshold", 2), run("key", "generate")
    changed, unclear = run("key", "rotate", "--publication"), run("key", "rotate")
    listed = json.loads(run("key", "list", "--json").stdout)["items"]

    assert made.exit_code == 0, made.output
    assert str(tmp_path / "keys") in made.output
    assert (again.exit_code, unclear.exit_code) == (5, 2)
    assert changed.exit_code == 0, changed.output
    assert [one["version"] for one in listed] == [1, 2]
    assert listed[0]["roles"]["root"] == listed[1]["roles"]["root"]
    assert len(listed[0]["roles"]["root"]["keyids"]) == 3
    assert listed[0]["roles"]["publication"] != listed[1]["roles"]["publication"]
