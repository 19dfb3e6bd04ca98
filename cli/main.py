"""The command ``socle``: where its commands are, and which exit code an error is."""

from __future__ import annotations

import errno
import gc
from importlib import import_module
from typing import Any

import click

from cli import output
from registry import errors

EXIT_CODES: dict[type[Exception], int] = {
    errors.Invalid: 1,
    errors.TooLarge: 1,
    errors.Unverified: 1,
    errors.Forbidden: 1,
    errors.Unauthenticated: 2,
    errors.WrongSetting: 2,
    errors.NotFound: 3,
    errors.Conflict: 4,
    errors.Busy: 5,
    errors.Damaged: 5,
    errors.KeyRefused: 5,
    OSError: 5,
}
"""By class of error, the exit code; a subclass has that of its class. Nothing else turns an error into one."""

INTERRUPTED = 130

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serving", "Run the service"),
    "work": ("working", "Do what is due: scheduled publications, votes that are over, webhooks"),
    "init": ("operations", "Make a registry ready: data folder, schema, shipped data"),
    "migrate": ("operations", "Bring the database's schema up to date"),
    "settings": ("operations", "Print every setting and its value"),
    "doctor": ("operations", "Check everything that is stored or derived"),
    "renditions": ("operations", "Keep releases in the formats that came after them"),
    "reindex": ("operations", "Throw the search index away and build it again"),
    "nomenclatures": ("nomenclatures", "List nomenclatures, or create one"),
    "releases": ("nomenclatures", "List the releases of a nomenclature"),
    "show": ("reading", "Show a concept"),
    "history": ("reading", "Show what each release changed in a concept"),
    "search": ("search", "Find concepts by their words"),
    "candidates": ("search", "Propose concepts for a local label"),
    "diff": ("reading", "Show what leads from one release to another"),
    "export": ("reading", "Write a release in a format"),
    "changes": ("reading", "List what changed, release by release"),
    "catalogue": ("catalogue", "Describe what there is in DCAT-AP or VoID, for catalogues"),
    "log": ("verification", "Print or verify the release log"),
    "verify": ("verification", "Verify what was published, from an archive, a registry or the database"),
    "sync": ("sync", "Keep a verified copy of a registry's releases in a folder"),
    "key": ("verification", "Signing keys: generate, rotate, list"),
    "draft": ("drafts", "Prepare a release"),
    "publish": ("committee", "Turn a draft into a release"),
    "withdraw-release": ("committee", "Withdraw a faulty release"),
    "decisions": ("committee", "List what the committee decided"),
    "proposal": ("proposals", "Proposals: create, list, confirm, study, retain, decline"),
    "recode": ("recoding", "Recode a data file: its codes into those of another list"),
    "translate": ("translation", "Say what codes are in another list or release"),
    "crosswalk": ("crosswalks", "Import, list and export crosswalks"),
    "webhook": ("webhooks", "Webhooks: create, list, delete, deliveries, redeliver"),
    "organisation": ("people", "Organisations, and who belongs to them"),
    "person": ("people", "People: create, list, erase"),
    "sign-in": ("people", "Print a link by which a person signs in, once"),
    "token": ("people", "Tokens: create, list, revoke"),
    "notices": ("people", "Print what one was told"),
    "journal": ("people", "Print or verify the journal of what was done"),
}
"""Where a command is, and its line in the help: so that a command imports only what it needs, and help nothing."""


class Socle(click.Group):
    """A group whose commands are imported when they are called, and whose errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, its file imported."""
        if cmd_name not in COMMANDS:
            return None
        # What is imported stays: to look for garbage in it, again and again, took a tenth of the time.
        gc.disable()
        try:
            found: click.Command = getattr(import_module(f"cli.{COMMANDS[cmd_name][0]}"), cmd_name.replace("-", "_"))
        finally:
            gc.enable()
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what the registry refuses is printed, and its class decides the exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except tuple(EXIT_CODES) as error:
            # A reader that went away, as in `socle log | head`, is click's to handle: it ends quietly.
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            output.report(error)
            ctx.exit(next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind)))
        except click.FileError as error:
            # A file that can't be opened is a wrong argument, wherever click opened it.
            raise click.UsageError(error.format_message(), ctx) from error


@click.group(cls=Socle, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="socle", prog_name="socle")
@click.option("--as", "person", metavar="PERSON", help="Act as this person (id or e-mail), in their roles.")
@click.pass_context
def main(context: click.Context, person: str | None) -> None:
    """Socle: the shared, versioned registry of nomenclatures for French social services.

    Settings are environment variables: see `socle settings`. With --json an answer is one JSON document on standard
    output, an error too. A file name of - is standard input or output.

    What a command changes, it changes in somebody's name: of the person that --as names, of SOCLE_TOKEN's owner, else
    of the registry's first administrator.

    Exit codes: 0 done; 1 refused by a check, the problems listed; 2 wrong usage; 3 not found; 4 conflict;
    5 the registry cannot be reached or is damaged.
    """
    context.obj = person
