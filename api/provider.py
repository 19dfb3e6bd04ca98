"""The OpenID provider by which people sign in, such as ProConnect: where it is, what is asked of it, what is believed.

Nothing is believed but what the provider signed with a key that it publishes, for this registry, in answer to what this
browser began. Whatever is asked of it ends in time, is bounded in size, and is not led elsewhere by redirects.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests.adapters import HTTPAdapter

from registry import opening
from registry.access import is_siret
from registry.errors import Busy
from registry.settings import LOOPBACK, Settings

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Only those by which nobody but the holder of the private key can sign."""

HANDSHAKE_LASTS = 600
KEYS_HOLD = 30
"""For how many seconds keys that were read are not read again, whatever comes signed."""

_KEPT_FOR = 3_600
_LEEWAY = 30
_MOST_BYTES = 1_000_000
_SECONDS = 15
_KEY_TYPES = ("RSA", "EC", "OKP")


class Refused(Exception):
    """Somebody is not signed in: ``reason`` is the journal's word for why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Identity(NamedTuple):
    """Whom the provider vouches for; ``subject`` is theirs alone among all providers."""

    subject: str
    name: str
    email: str
    siret: str
    id_token: str


class _Bounded(HTTPAdapter):
    """Answers that come whole, soon and not too long, or not at all."""

    def send(self, request: Any, *_: Any, **options: Any) -> requests.Response:
        until = time.monotonic() + _SECONDS
        given: dict[str, Any] = {name: options.get(name) for name in ("verify", "cert", "proxies")}
        response = super().send(request, stream=True, timeout=(3.05, 5), **given)
        body = b""
        while chunk := response.raw.read1(65_536, decode_content=True):
            body += chunk
            if len(body) > _MOST_BYTES or time.monotonic() > until:
                response.close()
                raise requests.RequestException("the answer is too long")
        response._content = body
        return response


class Provider:
    """The provider that the settings name; it is first asked for anything when somebody signs in."""

    def __init__(self, settings: Settings) -> None:
        self.name, self.issuer = settings.oidc_name, settings.oidc_issuer
        self._settings = settings
        self._lock = threading.Lock()
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def begin(self, back: str) -> tuple[str, dict[str, Any]]:
        """Where the browser goes to sign in, and what is kept of it until it comes back to the address ``back``.

        :raises Busy: if the provider does not answer.
        """
        kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce")}
        kept["verifier"] = secrets.token_urlsafe(48)
        asked: dict[str, str] = {"nonce": kept["nonce"]}
        if self._settings.oidc_acr:
            asked["acr_values"] = self._settings.oidc_acr
        address, _ = self._client(back).create_authorization_url(
            self._endpoint("authorization_endpoint"), state=kept["state"], code_verifier=kept["verifier"], **asked
        )
        return address, {**kept, "at": int(time.time())}

    def finish(self, back: str, kept: dict[str, Any], given: dict[str, str]) -> Identity:
        """Whom the provider vouches for, from what was kept and the parameters with which the browser came back.

        :raises Refused: saying why nobody is signed in.
        :raises Busy: if the provider does not answer.
        """
        if not secrets.compare_digest(kept["state"].encode(), given.get("state", "").encode()):
            raise Refused("state")
        if time.time() - kept["at"] > HANDSHAKE_LASTS:
            raise Refused("handshake expired")
        if given.get("iss", self.issuer) != self.issuer:
            raise Refused("issuer")
        if "error" in given or not given.get("code"):
            raise Refused("refused by the provider")
        token = self._token(back, given["code"], kept["verifier"])
        id_token, access_token = token.get("id_token"), token.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise Refused("no id token")
        claims = self._verified(id_token)
        if "exp" not in claims:
            raise Refused("expired")
        if not secrets.compare_digest(kept["nonce"].encode(), str(claims.get("nonce", "")).encode()):
            raise Refused("nonce")
        if self._settings.oidc_acr and claims.get("acr") not in self._settings.oidc_acr.split():
            raise Refused("acr")
        said = self._verified(self._userinfo(access_token))
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject or said.get("sub") != subject:
            raise Refused("subject")
        return _identity(self.issuer, subject, said, id_token)

    def end(self, id_token: str, back: str) -> str:
        """Where the browser goes to sign out of the provider too; nothing if the provider has no such address."""
        try:
            address = self._endpoint("end_session_endpoint")
        except Busy:
            return ""
        asked = {"id_token_hint": id_token, "post_logout_redirect_uri": back, "state": secrets.token_urlsafe(32)}
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"

    def _client(self, back: str) -> OAuth2Session:
        secret = opening.private(Path(self._settings.oidc_client_secret_file)).decode()
        posted = "client_secret_post" in self._discovered().get("token_endpoint_auth_methods_supported", ())
        client = OAuth2Session(
            self._settings.oidc_client_id,
            secret,
            scope=self._settings.oidc_scopes,
            redirect_uri=back,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_post" if posted else "client_secret_basic",
        )
        return cast(OAuth2Session, _bounded(client))

    def _token(self, back: str, code: str, verifier: str) -> dict[str, Any]:
        try:
            client = self._client(back)
            found = client.fetch_token(
                self._endpoint("token_endpoint"), code=code, code_verifier=verifier, allow_redirects=False
            )
        except OAuthError as error:
            raise Refused("code") from error
        except (requests.RequestException, ValueError) as error:
            raise _down(error) from error
        return dict(found) if isinstance(found, dict) else {}

    def _userinfo(self, access_token: str) -> str:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/jwt"}
        response = self._got(self._endpoint("userinfo_endpoint"), headers)
        if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/jwt":
            raise Refused("userinfo is not signed")
        return response.text

    def _verified(self, token: str) -> dict[str, Any]:
        """What a token says, once it is known that the provider signed it for this registry, and still holds."""
        try:
            head = token.split(".")[0]
            algorithm = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["alg"]
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("signature") from error
        if algorithm not in ALGORITHMS:
            raise Refused("algorithm")
        try:
            claims = self._decoded(token)
        except (JoseError, ValueError, TypeError) as error:
            raise Refused("signature") from error
        if claims.get("iss") != self.issuer:
            raise Refused("issuer")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        mine = self._settings.oidc_client_id
        if mine not in audiences or (len(audiences) > 1 and claims.get("azp") != mine):
            raise Refused("audience")
        now = time.time()
        for name, late in (("exp", True), ("nbf", False), ("iat", False)):
            if name in claims:
                at = claims[name]
                sound = isinstance(at, int | float) and not isinstance(at, bool)
                if not sound or (at < now - _LEEWAY if late else at > now + _LEEWAY):
                    raise Refused("expired")
        return claims

    def _decoded(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(token, self._key_set(), algorithms=list(ALGORITHMS)).claims)
        except JoseError:
            if not self._may_ask_again():
                raise
            # The provider may have changed its keys since they were read.
            return dict(jwt.decode(token, self._key_set(), algorithms=list(ALGORITHMS)).claims)

    def _may_ask_again(self) -> bool:
        with self._lock:
            if self._keys is None or time.monotonic() - self._keys[0] < KEYS_HOLD:
                return False
            self._keys = None
            return True

    def _key_set(self) -> KeySet:
        with self._lock:
            kept = self._keys
        if kept is None or time.monotonic() - kept[0] > _KEPT_FOR:
            found = self._json(self._endpoint("jwks_uri"))
            public = [key for key in found.get("keys", ()) if isinstance(key, dict) and key.get("kty") in _KEY_TYPES]
            try:
                kept = (time.monotonic(), KeySet.import_key_set({"keys": public}))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise _down(error) from error
            with self._lock:
                self._keys = kept
        return kept[1]

    def _discovered(self) -> dict[str, Any]:
        with self._lock:
            kept = self._metadata
        if kept is None or time.monotonic() - kept[0] > _KEPT_FOR:
            found = self._json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise Busy(f"{self.issuer}: its configuration is another provider's")
            kept = (time.monotonic(), found)
            with self._lock:
                self._metadata = kept
        return kept[1]

    def _endpoint(self, name: str) -> str:
        found = self._discovered().get(name)
        parts = urlsplit(found) if isinstance(found, str) else urlsplit("")
        if not isinstance(found, str) or not (parts.scheme == "https" or parts.hostname in LOOPBACK):
            raise Busy(f"{self.issuer}: its configuration has no safe {name}")
        return found

    def _json(self, url: str) -> dict[str, Any]:
        try:
            found = orjson.loads(self._got(url, {"Accept": "application/json"}).content)
        except ValueError as error:
            raise _down(error) from error
        if not isinstance(found, dict):
            raise Busy(f"{self.issuer}: {urlsplit(url).path} is no object")
        return found

    def _got(self, url: str, headers: dict[str, str]) -> requests.Response:
        with _bounded(requests.Session()) as client:
            try:
                response = client.get(url, headers=headers, allow_redirects=False)
            except (requests.RequestException, ValueError) as error:
                raise _down(error) from error
        if response.status_code != 200:
            raise Busy(f"{self.issuer}: {urlsplit(url).path} answers {response.status_code}")
        return response


def _bounded(client: requests.Session) -> requests.Session:
    client.mount("https://", _Bounded())
    client.mount("http://", _Bounded())
    return client


def _down(error: Exception) -> Busy:
    return Busy(f"the OpenID provider does not answer as it should: {type(error).__name__}")


def _identity(issuer: str, subject: str, said: dict[str, Any], id_token: str) -> Identity:
    def text(name: str) -> str:
        value = said.get(name)
        return value.strip() if isinstance(value, str) else ""

    whole = " ".join(filter(None, (text("given_name"), text("usual_name") or text("family_name")))) or text("name")
    siret = text("siret")
    return Identity(f"{issuer} {subject}", whole, text("email"), siret if is_siret(siret) else "", id_token)
