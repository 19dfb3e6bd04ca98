"""Webhooks against real receivers: one that answers, one that is slow, dead, redirects, or never stops answering."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli.main import main
from registry import delivery, publishing, webhooks
from registry.access import Actor
from registry.delivery import Answer, is_public, post, url_fault
from registry.errors import Forbidden, Invalid, NotFound
from registry.store import Store
from registry.store.webhooks import Webhook
from registry.webhooks import deliver, send_due, subscribe, tell
from tests.conftest import running, settings_for
from tests.factories import (
    a_concept,
    a_deprecated_concept,
    a_member,
    a_release,
    a_token,
    bearer,
    keys_of,
    published,
    the_operator,
)
from tests.faults import rounds, seeded

LOCAL = ("127.0.0.1",)
ADDRESS = "https://socle.example/"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def lone(sqlite_url: str, tmp_path: Path) -> Iterator[Store]:
    """An empty registry on SQLite, for what does not depend on the database."""
    found = Store(sqlite_url, tmp_path / "blobs")
    yield found
    found.close()


class Receiver:
    """A server of one's own that takes what is posted, then does what it was made to do with the connection."""

    def __init__(self, act: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self._act, self._context = act, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/hook?a=1"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(5)
                secured = self._context.wrap_socket(connection, server_side=True) if self._context else connection
                with secured:
                    self._take(secured)
                    self._act(secured)
            except OSError:
                return

    def _take(self, connection: socket.socket) -> None:
        read = b""
        while b"\r\n\r\n" not in read:
            some = connection.recv(65_536)
            if not some:
                return
            read += some
        head, _, body = read.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        while len(body) < int(headers["content-length"]):
            body += connection.recv(65_536)
        self.requests.append((line, headers, body))

    @property
    def events(self) -> list[str]:
        """The ids of what came, in order."""
        return [orjson.loads(body)["id"] for _, _, body in self.requests]

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


@contextmanager
def receiving(act: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver while it is needed."""
    found = Receiver(act, context)
    try:
        yield found
    finally:
        found.close()


def says(text: str) -> Callable[[socket.socket], None]:
    """Answers with these lines and no body."""
    return lambda connection: connection.sendall(text.encode() + b"\r\nContent-Length: 0\r\n\r\n")


well = says("HTTP/1.1 204 No Content")


def waits(connection: socket.socket) -> None:
    """Answers nothing until the other side goes away."""
    connection.recv(1)


def drips(connection: socket.socket) -> None:
    """Answers a byte at a time, never a whole line."""
    for _ in range(100):
        connection.sendall(b"H")
        time.sleep(0.02)


class Flood:
    """Answers 100 MB, and counts how much went out."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while self.sent < 100_000_000:
            self.sent += connection.send(b"x" * 65_536)


def a_dead_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def a_subscription(store: Store, url: str, actor: Actor, **others: Any) -> Webhook:
    """A webhook to a receiver of this machine."""
    return subscribe(store, url, trusted=LOCAL, actor=actor, **others)


def a_vendor(store: Store, organisation: str = "editeur-a") -> Actor:
    """Somebody of a vendor, who may read and nothing else."""
    return a_member(store, "reader", organisation=organisation)


def the_first(store: Store) -> None:
    """Publish release 1.0: the concepts A and B."""
    published(store, a_release())


def the_second(store: Store) -> None:
    """Publish release 2.0, in which A is no longer used."""
    published(store, a_release(a_deprecated_concept("A"), a_concept("B"), version="2.0"), issued=datetime.now(UTC))


# --- What comes, and what becomes of what can't --------------------------------------------------------------------


def test_what_happens_is_posted_signed_and_only_to_who_asked_and_whoever_does_not_take_it_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SECONDS", 0.5)
    vendor, flood = a_vendor(store), Flood()
    the_first(store)
    elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{port}/"
    with (
        receiving(well) as good,
        receiving(well) as other,
        receiving(says(elsewhere.format(port=other.port))) as redirecting,
        receiving(waits) as slow,
        receiving(drips) as dripping,
        receiving(flood) as endless,
        receiving(says("HTTP/1.1 500 Oh")) as ill,
        receiving(says("SSH-2.0-Server")) as foreign,
        receiving(says("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK")) as early,
    ):
        urls = [one.url for one in (good, redirecting, slow, dripping, endless, ill, foreign, early)]
        urls.append(f"http://127.0.0.1:{a_dead_port()}/")
        made = [a_subscription(store, url, vendor) for url in urls]
        a_subscription(store, other.url, vendor, kinds=["withdrawal"])
        began, start = time.monotonic(), datetime.now(UTC)

        the_second(store)
        tried = deliver(store, settings_for(store.blobs.folder, webhooks_hosts="127.0.0.1", public_url=ADDRESS))
        took = time.monotonic() - began
        again = deliver(store, settings_for(store.blobs.folder, webhooks_hosts="127.0.0.1", public_url=ADDRESS))

    # Nine webhooks of two events: the release, and that it breaks something.
    assert took < 8
    assert tried >= 9 + 3
    assert again == 0
    assert other.requests == []
    assert [orjson.loads(body)["kind"] for _, _, body in good.requests] == ["release", "breaking"]
    line, headers, body = good.requests[0]
    event = orjson.loads(body)
    stamp, _, signed = headers["socle-signature"].partition(",v1=")
    expected = hmac.new(made[0].secret.encode(), stamp[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert line == "POST /hook?a=1 HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{good.port}"
    assert headers["socle-event"] == event["id"]
    assert signed == expected
    assert abs(int(stamp[2:]) - start.timestamp()) < 20
    assert event == {
        "id": f"release-{event['seq']}",
        "kind": "release",
        "registry": ADDRESS,
        "nomenclature": "aides",
        "release": "2.0",
        "seq": store.edition("aides", "2.0").seq,
        "at": event["at"],
        "validFrom": "2024-01-01",
        "corrects": None,
        "address": f"{ADDRESS}api/v1/nomenclatures/aides/releases/2.0",
        "changes": {"total": 1, "breaking": 1},
    }
    warned = orjson.loads(good.requests[1][2])
    assert (warned["stage"], warned["release"], warned["total"]) == ("published", "2.0", 1)
    assert warned["codes"] == [{"code": "A", "kinds": ["annotated", "deprecated"], "successors": []}]

    found = {one.id: webhooks.deliveries(store, one.id, actor=vendor)[0] for one in made}
    firsts = [found[one.id][-1] for one in made]
    faults = [one.attempts[0].fault for one in firsts]
    statuses = [one.attempts[0].status for one in firsts]
    assert faults == ["", "redirect", "time", "time", "", "status", "answer", "", "connection"]
    assert statuses == [204, 307, 0, 0, 200, 500, 0, 200, 0]
    assert [one.state for one in firsts] == ["pending" if fault else "delivered" for fault in faults]
    assert all(one.due >= start + timedelta(seconds=60) for one in firsts if one.state == "pending")
    assert all(one.attempts[0].milliseconds < 1_500 for one in firsts)
    assert flood.sent < 10_000_000
    states = [webhooks.webhook_document(store.webhook(one.id))["state"] for one in made]
    assert states == ["failing" if fault else "active" for fault in faults]


def test_each_kind_is_told_to_who_asked_for_it_once_and_nothing_of_before(sqlite_url: str, tmp_path: Path) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    vendor, operator = a_vendor(store), the_operator(store)
    the_first(store)
    with receiving(well) as all_of_it, receiving(well) as corrections, receiving(well) as elsewhere:
        a_subscription(store, all_of_it.url, vendor)
        a_subscription(store, corrections.url, vendor, nomenclature="aides", kinds=["correction", "withdrawal"])
        settings = settings_for(tmp_path, webhooks_hosts="127.0.0.1")
        with pytest.raises(NotFound):
            a_subscription(store, elsewhere.url, vendor, nomenclature="ailleurs")

        noted = a_release(a_concept("A"), a_concept("B"), a_concept("C"))
        published(store, a_release(*noted.concepts.values(), version="1.1"))
        mended = a_concept("C", alt_label=(("fr", "Autre nom"),))
        published(store, a_release(a_concept("A"), a_concept("B"), mended, version="1.2"), corrects="1.1")
        publishing.withdraw(store, "aides", "1.1", "Erreur de saisie.", keys_of(store), actor=operator)
        deliver(store, settings)
        deliver(store, settings)

    seqs = [store.edition("aides", version).seq for version in ("1.1", "1.2")]
    withdrawal = f"withdrawal-{store.withdrawals(slug=None, seq=0, limit=9)[0][1]}"
    store.close()
    assert sorted(all_of_it.events) == sorted([f"release-{seqs[0]}", f"correction-{seqs[1]}", withdrawal])
    assert sorted(corrections.events) == sorted([f"correction-{seqs[1]}", withdrawal])
    told = {orjson.loads(body)["kind"]: orjson.loads(body) for _, _, body in corrections.requests}
    assert told["correction"]["corrects"] == "1.1"
    assert told["withdrawal"]["why"] == "Erreur de saisie."


def test_who_answers_is_not_kept_waiting_by_those_who_do_not(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SECONDS", 2.0)
    store = Store(sqlite_url, tmp_path / "blobs")
    the_first(store)
    settings = settings_for(tmp_path, webhooks_hosts="127.0.0.1")
    with receiving(waits) as stuck, receiving(well) as good:
        for number in range(8):
            hook = a_subscription(store, stuck.url, a_vendor(store, f"editeur-{number}"), kinds=["release"])
            with store.database.writing() as connection:  # As they stand once they failed.
                connection.exec_driver_sql(f"UPDATE webhook SET slow = 1 WHERE id = {hook.id}")
        a_subscription(store, good.url, a_vendor(store), kinds=["release"])
        sending = webhooks.Sending(store, settings)

        the_second(store)
        began = time.monotonic()
        sending.go()
        while not good.requests and time.monotonic() - began < 3:
            time.sleep(0.01)
        took = time.monotonic() - began
        while stuck.connections < 4 and time.monotonic() - began < 3:
            time.sleep(0.01)
        at_once = stuck.connections
        published(store, a_release(a_deprecated_concept("A"), a_concept("B"), a_concept("C"), version="2.1"))
        sending.go()
        while len(good.requests) < 2 and time.monotonic() - began < 3:
            time.sleep(0.01)
        second = time.monotonic() - began
        stuck.close()
        monkeypatch.setattr(delivery, "SECONDS", 0.01)
        for thread in sending._threads.values():
            thread.join()
    store.close()

    assert took < 1
    assert at_once == 4
    assert second < 3


# --- Kills, and a day of failing -----------------------------------------------------------------------------------


@pytest.mark.faults
def test_a_worker_that_is_killed_while_it_sends_loses_nothing(sqlite_url: str, tmp_path: Path) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    vendor = a_vendor(store)
    the_first(store)
    chance = seeded("webhooks")
    environment = {
        **os.environ,
        "SOCLE_DATA_DIR": str(tmp_path),
        "SOCLE_DATABASE_URL": sqlite_url,
        "SOCLE_WEBHOOKS_HOSTS": "127.0.0.1",
    }
    settings, versions = settings_for(tmp_path, webhooks_hosts="127.0.0.1"), ["2.0"]
    with receiving(waits) as receiver, receiving(well) as back:
        hook = a_subscription(store, receiver.url, vendor, kinds=["release"])
        the_second(store)
        with a_worker(environment) as process:
            while not receiver.requests and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        [interrupted] = store.deliveries(hook.id)[0]
        with store.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE webhook SET url = '{back.url}'")
        soon = deliver(store, settings)
        for number in range(1, rounds(0, 100) + 1):
            versions.append(f"2.{number}")
            concepts = (a_concept(f"N{place}") for place in range(number))
            published(store, a_release(a_deprecated_concept("A"), a_concept("B"), *concepts, version=versions[-1]))
            with a_worker(environment) as process:
                time.sleep(chance.uniform(0.3, 1.2))
                process.send_signal(signal.SIGKILL)
        deliver(store, settings, datetime.now(UTC) + timedelta(minutes=3))
    found = store.deliveries(hook.id, limit=1000)[0]
    expected = {f"release-{store.edition('aides', version).seq}" for version in versions}
    store.close()

    assert (interrupted.state, interrupted.attempts) == ("pending", ())
    assert soon == 0  # Its lease is not over: somebody might still be sending it.
    assert interrupted.event == receiver.events[0]
    assert set(back.events) == {one.event for one in found} == expected
    assert {one.state for one in found} == {"delivered"}


def a_worker(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A `socle work` that looks every second."""
    program = [sys.executable, "-c", "from cli.main import main; main()", "work", "--every", "1"]
    return subprocess.Popen(program, cwd=ROOT, env=environment)


def test_what_is_told_in_two_processes_at_once_is_on_its_way_once(store: Store) -> None:
    vendor = a_vendor(store)
    the_first(store)
    hook = a_subscription(store, "http://127.0.0.1:9/", vendor)
    the_second(store)
    behind = store.listening()

    threads = [threading.Thread(target=tell, args=(store, ADDRESS)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late = store.queue(
        behind[0], position=9, warned=9, events=[], now=datetime.now(UTC), until=datetime.now(UTC) + webhooks.DAY
    )

    assert late == 0
    assert sorted(one.kind for one in store.deliveries(hook.id)[0]) == ["breaking", "release"]
    taken = [
        [what.id for _, what in store.take_due(datetime.now(UTC), lease=webhooks.DAY, slow=False, but=(), limit=5)]
        for _ in range(3)
    ]
    assert [len(some) for some in taken] == [1, 1, 0]


def test_a_webhook_that_fails_for_a_day_is_given_up_and_its_owner_told_and_it_can_be_woken(
    sqlite_url: str, tmp_path: Path
) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    vendor = a_vendor(store)
    the_first(store)
    settings = settings_for(tmp_path, webhooks_hosts="127.0.0.1")
    hook = a_subscription(store, f"http://127.0.0.1:{a_dead_port()}/", vendor, kinds=["release"])
    the_second(store)
    now = start = datetime.now(UTC)
    tell(store, ADDRESS, now)

    while (found := store.deliveries(hook.id)[0][0]).state == "pending" and now < start + timedelta(days=2):
        now = max(now, found.due)
        send_due(store, LOCAL, slow=bool(found.attempts), now=now)

    tries = [one.at for one in found.attempts]
    waits_between = [later - earlier for earlier, later in pairwise(tries)]
    given_up = store.webhook(hook.id)
    assert found.state == "failed"
    assert 10 <= len(tries) <= 20
    assert waits_between[0] == timedelta(minutes=1)
    assert max(waits_between) == timedelta(hours=4)
    assert tries[-1] - tries[0] >= timedelta(hours=24)
    assert given_up.disabled is not None
    [notice] = store.unseen_notices(vendor.person)
    assert notice.object == f"webhook {hook.id}"
    assert "plus rien ne lui est envoyé" in notice.text

    # Nothing is sent there any more; asked again, it gets that and all it missed.
    published(store, a_release(a_deprecated_concept("A"), a_concept("B"), a_concept("C"), version="2.1"))
    assert deliver(store, settings, now + timedelta(hours=1)) == 0
    with receiving(well) as back:
        with store.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE webhook SET url = '{back.url}'")
        webhooks.redeliver(store, hook.id, found.id, actor=vendor)
        deliver(store, settings)
        deliver(store, settings)
    assert len(back.events) == 2
    assert back.events[0] == found.event
    assert webhooks.webhook_document(store.webhook(hook.id))["state"] == "active"

    # What is over is forgotten after a month.
    tell(store, ADDRESS, now + timedelta(days=32))
    assert store.deliveries(hook.id) == ([], 0)
    store.close()


# --- Where nothing is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://vendor.example/",
        "ftp://vendor.example/",
        "https://user:secret@vendor.example/",
        "https://vendor.example/#x",
        "https://vendor.example:99999/",
        "https://vendor.example/a b",
        "https://vendor.example/\r\nX: 1",
        "https://vendor.example\\@127.0.0.1/",
        "https:///x",
        "https://éditeur.example/",
        "https://localhost/",
        "https://registre.internal/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://vendor.example/" + "x" * 500,
        "",
    ],
)
def test_an_address_that_is_not_a_public_one_over_tls_is_refused(url: str) -> None:
    assert url_fault(url, ()) != ""
    assert post(url, {}, b"{}") == Answer(0, "address")


@pytest.mark.parametrize(
    "address",
    "0.0.0.0 10.1.2.3 100.64.0.1 100.100.100.200 127.0.0.1 168.63.129.16 169.254.169.254 172.16.0.1 192.0.0.170 "
    "192.168.1.1 192.88.99.1 198.18.0.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 "
    "::ffff:8.8.8.8 ::ffff:10.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1 fc00::1 "
    "fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1".split(),
)
def test_what_is_not_of_the_public_internet_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:2800:220:1::1", "2a01:e0a::1"])
def test_what_is_public_is_not_refused(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0", "017700000001"])
def test_no_way_of_writing_an_internal_address_leads_to_a_connection(host: str) -> None:
    with receiving(well) as canary:
        found = post(f"https://{host}:{canary.port}/", {}, b"{}")
        time.sleep(0.02)

    assert found.fault in ("address", "name")
    assert canary.connections == 0


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_resolver_that_does_not_answer_holds_neither_the_worker_nor_more_than_a_few_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()

    def never(*_: Any, **__: Any) -> list[Any]:
        answered.wait(20)
        raise OSError

    monkeypatch.setattr(delivery, "SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    before, begun = threading.active_count(), time.monotonic()

    faults = {delivery.post("https://slow.example/", {}, b"{}").fault for _ in range(delivery.MOST_LOOK_UPS + 3)}
    spent, more = time.monotonic() - begun, threading.active_count() - before
    answered.set()

    monkeypatch.setattr(threading.Thread, "start", _no_thread)
    without_threads = [delivery.post("https://slow.example/", {}, b"{}").fault for _ in range(delivery.MOST_LOOK_UPS)]
    monkeypatch.undo()

    assert faults == {"time"}
    assert set(without_threads) == {"time"}
    assert delivery.post(f"https://{'x' * 64}.example/", {}, b"{}").fault == "name", "look-ups go on"
    assert more <= delivery.MOST_LOOK_UPS
    assert spent < 5


def test_a_name_is_resolved_once_and_what_it_gave_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolves(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        first = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (first, port))]

    def both(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("93.184.215.14", "10.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolves)
    # These tests may connect to this machine only; what stops them names where they were going.
    with pytest.warns(UserWarning, match="socket.connect"), pytest.raises(RuntimeError, match=r"93\.184\.215\.14"):
        post("https://rebinding.example/", {}, b"{}")
    assert asked == ["rebinding.example"]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert post("https://both.example/", {}, b"{}") == Answer(0, "address")


def test_tls_is_asked_by_name_and_a_certificate_that_is_not_trusted_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    named: list[str | None] = []
    context.sni_callback = lambda _, name, __: named.append(name)
    with receiving(well, context) as receiver:
        url = f"https://localhost:{receiver.port}/"
        delivery._context.cache_clear()
        untrusted = post(url, {}, b"{}", trusted=["localhost"])
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        delivery._context.cache_clear()
        trusted = post(url, {}, b"{}", trusted=["localhost"])
        delivery._context.cache_clear()

    assert untrusted == Answer(0, "tls")
    assert trusted == Answer(204, "")
    assert named == ["localhost", "localhost"]
    assert receiver.requests[0][1]["host"] == f"localhost:{receiver.port}"


# --- By the API and the command line -------------------------------------------------------------------------------


def test_a_vendor_subscribes_looks_back_and_leaves_by_the_api_and_others_see_nothing_of_it(
    sqlite_url: str, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, sqlite_url, webhooks_hosts="127.0.0.1")
    with running(settings) as app, receiving(well) as receiver:
        client, store = app.test_client(), app.extensions["socle"].store
        the_first(store)
        mine = bearer(a_token(store, a_vendor(store)))
        others = bearer(a_token(store, a_vendor(store, "editeur-b")))
        asked = {"url": receiver.url, "nomenclature": "aides", "kinds": ["release"]}
        keyed = {**mine, "Idempotency-Key": "once"}

        made = client.post("/api/v1/webhooks", json=asked, headers=keyed)
        repeated = client.post("/api/v1/webhooks", json=asked, headers=keyed)
        refused = client.post("/api/v1/webhooks", json={"url": "http://vendor.example/"}, headers=mine)
        foreign = client.post("/api/v1/webhooks", json={**asked, "organisation": "editeur-b"}, headers=mine)
        place = made.headers["Location"]
        the_second(store)
        deliver(store, settings)
        listed = client.get("/api/v1/webhooks", headers=mine).get_json()
        sent = client.get(f"{place}/deliveries", headers=mine).get_json()
        address = f"{place}/deliveries/{sent['items'][0]['id']}/redeliver"
        seen_by_others = [
            client.get("/api/v1/webhooks", headers=others).get_json()["total"],
            client.get(place, headers=others).status_code,
            client.get(f"{place}/deliveries", headers=others).status_code,
            client.post(address, data=b"{}", headers=others).status_code,
            client.delete(place, headers=others).status_code,
            client.get(place).status_code,
        ]
        again = client.post(address, data=b"{}", headers=mine)
        deliver(store, settings)
        removed = client.delete(place, headers=mine)
        after = client.get(place, headers=mine)
        entries = b"".join(store.journal_entries())

    assert (made.status_code, repeated.status_code) == (201, 201)
    assert repeated.get_json() == {**made.get_json(), "secret": None}
    assert refused.status_code == 422
    assert foreign.status_code == 403
    assert listed["items"][0] == {name: value for name, value in made.get_json().items() if name != "secret"}
    [one] = sent["items"]
    assert (one["state"], one["attempts"][0]["status"], one["attempts"][0]["fault"]) == ("delivered", 204, None)
    assert seen_by_others == [0, 404, 404, 404, 404, 401]
    assert again.status_code == 202
    assert receiver.events == [one["event"]] * 2
    assert (removed.status_code, after.status_code) == (204, 404)
    assert made.get_json()["secret"].encode() not in entries
    assert b"127.0.0.1:" not in entries


def test_the_command_line_does_the_same(sqlite_url: str, tmp_path: Path) -> None:
    store = Store(sqlite_url, tmp_path / "blobs")
    the_first(store)
    vendor = a_vendor(store)
    environment = {
        "SOCLE_DATA_DIR": str(tmp_path),
        "SOCLE_DATABASE_URL": sqlite_url,
        "SOCLE_WEBHOOKS_HOSTS": "127.0.0.1",
    }

    def socle(*command: str) -> Any:
        return CliRunner().invoke(main, ["--as", vendor.person, *command], env=environment)

    with receiving(well) as receiver:
        made = orjson.loads(socle("webhook", "create", receiver.url, "--kind", "release", "--json").output)
        number = str(made["id"])
        the_second(store)
        worked = socle("work", "--once")
        [sent] = orjson.loads(socle("webhook", "deliveries", number, "--json").output)["items"]
        again = socle("webhook", "redeliver", number, str(sent["id"]))
        listed = socle("webhook", "list")
        deleted = socle("webhook", "delete", number)
        gone = socle("webhook", "deliveries", number)
    store.close()

    assert made["secret"].startswith("whsec_")
    assert worked.output == "1 envoi(s) à des webhooks\n"
    assert sent["state"] == "delivered"
    assert "à envoyer" in again.output
    assert f"{number}  editeur-a  toutes  release  actif" in listed.output
    assert made["secret"] not in listed.output
    assert (deleted.exit_code, gone.exit_code) == (0, 3)


def test_an_organisation_has_so_many_and_whoever_belongs_to_several_says_for_which(lone: Store) -> None:
    vendor = a_vendor(lone)
    both = Actor(vendor.person, vendor.memberships | {("dep-71", "reader")}, "session")
    stranger = Actor(vendor.person, frozenset(), "session")

    for _ in range(webhooks.MOST_OF_ONE):
        a_subscription(lone, "https://vendor.example/", vendor)

    with pytest.raises(Invalid, match="trop de webhooks"):
        a_subscription(lone, "https://vendor.example/", vendor)
    with pytest.raises(Invalid, match="pour quel organisme"):
        a_subscription(lone, "https://vendor.example/", both)
    with pytest.raises(Forbidden):
        a_subscription(lone, "https://vendor.example/", stranger)
    with pytest.raises(Forbidden):
        a_subscription(lone, "https://vendor.example/", vendor, organisation="dep-71")


def test_the_verifier_of_the_documentation_knows_what_is_genuine() -> None:
    page = (ROOT / "docs" / "webhooks.md").read_text()
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0], found)
    is_genuine, body, secret = found["is_genuine"], b'{"id": "release-1"}', "whsec_x"

    header = webhooks.signature(secret, 1_000_000, body)

    assert is_genuine(secret, header, body, now=1_000_010)
    assert not is_genuine(secret, header, body + b" ", now=1_000_010)
    assert not is_genuine("whsec_y", header, body, now=1_000_010)
    assert not is_genuine(secret, header.replace("t=1000000", "t=1000009"), body, now=1_000_010)
    assert not is_genuine(secret, header, body, now=1_001_000)
