"""The HTTP face of the registry: routes, negotiation, caching, problems. It calls the registry, never the reverse."""

from api.app import create_app

__all__ = ["create_app"]
