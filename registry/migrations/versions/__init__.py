"""Alembic migrations: one for each change of schema, run by ``socle migrate`` and ``socle init``."""
