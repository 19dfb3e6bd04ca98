"""Triggers that refuse, in the words of either database: what is published stays as it is."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op


def never_changes(table: str, keys: Iterable[tuple[str, ...]]) -> None:
    """Refuse every change to the rows of a table, and their removal.

    ``INSERT OR REPLACE`` deletes without firing a delete trigger, on a connection without recursive triggers: so
    whatever unique key (``keys``) exists already is refused before it does.
    """
    refuse(table, "UPDATE", "", f"{table} never changes")
    refuse(table, "DELETE", "", f"{table} never goes")
    taken = (" AND ".join(f"{column} = NEW.{column}" for column in key) for key in keys)
    refuse(table, "INSERT", " OR ".join(exists(table, key) for key in taken), f"{table} never changes")


def exists(table: str, condition: str) -> str:
    """The condition that a row of the table is so."""
    return f"EXISTS (SELECT 1 FROM {table} WHERE {condition})"  # noqa: S608 -- names and conditions of migrations only.


def refuse(table: str, action: str, condition: str, message: str) -> None:
    """Refuse an action on a table, always or under a condition, by a trigger in the database's own words."""
    name = f"{table}_{action.lower()}_{message.rsplit(' ', 1)[1]}"
    if op.get_bind().dialect.name == "sqlite":
        # SQLite 3.38 and older know IS, which means the same there.
        when = f"WHEN {condition.replace('IS DISTINCT FROM', 'IS NOT')}" if condition else ""
        op.execute(
            sa.text(
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        )
        return
    body = f"RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation';"
    if condition:
        body = f"IF {condition} THEN {body} END IF;"
    result = "OLD" if action == "DELETE" else "NEW"
    op.execute(
        sa.text(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$body$ BEGIN {body} RETURN {result}; END $body$"
        )
    )
    op.execute(sa.text(f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"))
    if action == "DELETE":
        op.execute(
            sa.text(
                f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )
        )
