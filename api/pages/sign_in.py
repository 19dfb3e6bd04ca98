"""Signing in, by a printed link or at an OpenID provider; the account of whoever is signed in; signing out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, redirect, request, session, url_for

from api import access, current, sessions
from api.pages.rendering import form
from registry import access as registry_access
from registry import sessions as registry_sessions
from registry.errors import NotFound, Unauthenticated

if TYPE_CHECKING:
    from api.provider import Provider

NEXT = {
    "compte": "pages.account",
    "demande": "pages.proposal_form",
    "correspondances": "pages.crosswalks",
    "importer": "pages.crosswalk_import",
    "accueil": "pages.home",
}
"""Where one can be led after signing in, by name: never an address, which could be another site's."""

_KEPT = "sign_in"
_PARAMETERS = ("state", "code", "iss", "error")
_LONGEST = 4_000
_log = logging.getLogger("socle")


def add_to(pages: Blueprint) -> None:
    """Serve them."""
    pages.add_url_rule("/connexion", "sign_in", sign_in)
    pages.add_url_rule("/connexion", "use_link", use_link, methods=["POST"])
    pages.add_url_rule("/connexion/fournisseur", "to_provider", to_provider)
    pages.add_url_rule("/connexion/retour", "from_provider", from_provider)
    pages.add_url_rule("/deconnexion", "signed_out", signed_out)
    pages.add_url_rule("/deconnexion", "sign_out", sign_out, methods=["POST"])
    pages.add_url_rule("/compte", "account", account)
    pages.add_url_rule("/compte", "see_notices", see_notices, methods=["POST"])


def sign_in() -> Response:
    """How to sign in; with a printed link, the button that does, since what looks into links must not use it up."""
    secret = request.args.get("jeton", "")[:100]
    if not secret and sessions.signed_in():
        return _to(_next(request.args.get("suite", "")))
    return _page(secret=secret)


def use_link() -> Response:
    """Sign in by a printed link, once."""
    try:
        made = registry_sessions.sign_in(current.store(), request.form.get("jeton", "")[:100], **_from())
    except Unauthenticated:
        return _page(422, error="Ce lien a déjà servi, ou n’est plus valable. Demandez-en un autre.")
    return sessions.begin(made, _to(_next(request.form.get("suite", ""))))


def to_provider() -> Response:
    """Send the browser to the provider, with what its answer will be checked against kept in a cookie."""
    address, kept = _provider().begin(_address("pages.from_provider"))
    session[_KEPT] = {**kept, "suite": _next(request.args.get("suite", ""))}
    return _uncached(_redirected(address))


def from_provider() -> Response:
    """Sign in whom the provider vouches for, if all of its answer holds; else say so, and the journal why."""
    from api.provider import Refused  # It takes long to import, and only a registry with a provider needs it.

    provider, kept = _provider(), session.pop(_KEPT, None)
    given = {name: request.args[name][:_LONGEST] for name in _PARAMETERS if name in request.args}
    if kept is None:
        # Anybody can call this address without having begun anything: that is not worth an entry.
        return _page(403, error="Cette connexion n’a pas été commencée ici, ou l’a été il y a trop longtemps.")
    try:
        found = provider.finish(_address("pages.from_provider"), kept, given)
    except Refused as refusal:
        _log.warning("sign-in refused: %s", refusal.reason)
        registry_sessions.refuse_sign_in(current.store(), refusal.reason, **_from())
        return _page(403, error=f"{provider.name} n’a pas confirmé cette connexion. Recommencez.")
    made = registry_sessions.sign_in_as(
        current.store(),
        found.subject,
        name=found.name,
        email=found.email,
        siret=found.siret,
        id_token=found.id_token,
        **_from(),
    )
    return sessions.begin(made, _to(kept["suite"]))


def sign_out() -> Response:
    """End the session here, and offer to end the provider's too."""
    found, provider, elsewhere = sessions.signed_in(), sessions.provider(), ""
    if found is not None:
        registry_sessions.sign_out(current.store(), found, actor=access.actor())
        if provider is not None and found.id_token:
            elsewhere = provider.end(found.id_token, _address("pages.signed_out"))
    g.session = None
    return sessions.end(form("signed_out.html", elsewhere=elsewhere, name=provider.name if provider else ""))


def signed_out() -> Response:
    """That nobody is signed in any more; the provider sends browsers here that signed out of it."""
    if sessions.signed_in():
        return _to("pages.account")
    return form("signed_out.html", elsewhere="", name="")


def account() -> Response:
    """Who is signed in, in which roles, and what they were told."""
    actor, store = access.actor(), current.store()
    if sessions.signed_in() is None:
        return _to("pages.sign_in", suite="compte")
    names = {one.slug: one.name for one in store.organisations()}
    return form(
        "account.html",
        person=store.person(actor.person),
        memberships=sorted(actor.memberships),
        names=names,
        notices=store.unseen_notices(actor.person),
    )


def see_notices() -> Response:
    """Take off the account's page what its owner has read, and show it again."""
    if sessions.signed_in() is None:
        return _to("pages.sign_in", suite="compte")
    last = request.form.get("dernier", "")
    if last.isascii() and last.isdecimal() and len(last) < 10:
        registry_access.see_notices(current.store(), int(last), actor=access.actor())
    return _to("pages.account")


def _page(status: int = 200, *, secret: str = "", error: str = "") -> Response:
    provider = sessions.provider()
    suite = request.values.get("suite", "")
    return form(
        "sign_in.html",
        status,
        secret=secret,
        error=error,
        provider=provider.name if provider else "",
        suite=suite if suite in NEXT else "",
    )


def _provider() -> Provider:
    found = sessions.provider()
    if found is None:
        raise NotFound("provider", "")
    return found


def _next(name: str) -> str:
    return NEXT.get(name, "pages.account")


def _to(endpoint: str, **values: Any) -> Response:
    return _uncached(_redirected(url_for(endpoint, **values)))


def _redirected(address: str) -> Response:
    return redirect(address, 303)  # type: ignore[return-value] # werkzeug's Response is Flask's here.


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _address(endpoint: str) -> str:
    """A page's address as the provider knows it, whatever Host the request bears."""
    return current.settings().address.rstrip("/") + url_for(endpoint)


def _from() -> dict[str, str]:
    return {"origin": registry_access.network(request.remote_addr or ""), "request": g.request_id}
