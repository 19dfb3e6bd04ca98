"""Makes ``api/static/dsfr/`` from the npm archive of the design system: the part that the templates use.

    npm pack @gouvfr/dsfr@1.14.4
    python api/static/vendor_dsfr.py gouvfr-dsfr-1.14.4.tgz

Run it again whenever a template names a new component (``COMPONENTS``) or a new icon (found by reading the templates).
Version 1.14.4 is the last whose terms allow it: see docs/decisions/0006-design-system.md.
"""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

VERSION = "1.14.4"
COMPONENTS = (
    "link button tag badge skiplink form input select search table alert notice radio checkbox upload summary callout "
    "tile modal navigation breadcrumb pagination header footer"
).split()
"""In the order of the whole stylesheet, since later rules complete earlier ones."""

STATIC = Path(__file__).parent
TEMPLATES = STATIC.parent / "templates"
DARK = ":root[data-fr-theme=dark]"
_FONT = "Marianne,arial,sans-serif"
_URL = re.compile(r"url\((?:\.\./)*((?:icons|artwork)/[^)]+)\)")


def main(archive: Path) -> None:
    """Write the subset anew from the archive."""
    with tarfile.open(archive) as files:
        if f'"version": "{VERSION}"' not in _text(files, "package.json"):
            sys.exit(f"{archive} is not version {VERSION}")
        sheets = {
            "dsfr.css": [
                "core/core.main.min.css",
                *(f"component/{name}/{name}.main.min.css" for name in COMPONENTS),
                "scheme/scheme.min.css",
            ],
            "dsfr.print.css": [
                "core/core.print.min.css",
                *(f"component/{name}/{name}.print.min.css" for name in COMPONENTS),
            ],
            # The block-mark of the State, which only an entitled operator's pages ask for.
            "state.css": ["component/logo/logo.main.min.css"],
        }
        names = {member.name for member in files.getmembers()}
        target = STATIC / "dsfr"
        shutil.rmtree(target, ignore_errors=True)
        (target / "icons").mkdir(parents=True)
        for sheet, sources in sheets.items():
            text = "".join(_text(files, f"dist/{name}") for name in sources if f"package/dist/{name}" in names)
            if sheet == "dsfr.css":
                text += "".join(_icons(_text(files, "dist/utility/utility.main.min.css")))
            text = "".join(_adapted(text))
            for path in sorted(set(_URL.findall(text))):
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                (target / path).write_text(_text(files, f"dist/{path}"))
            (target / sheet).write_text(_URL.sub(r"url(\1)", text) + "\n")
        script = re.sub(r"\n//# sourceMappingURL=.*", "", _text(files, "dist/dsfr.module.min.js"))
        (target / "dsfr.module.js").write_text(script.rstrip() + "\n")
        (target / "LICENSE.md").write_text(_text(files, "LICENSE.md"))


def _text(files: tarfile.TarFile, name: str) -> str:
    member = files.extractfile(str(PurePosixPath("package", name)))
    assert member is not None, name  # noqa: S101 -- a script that people run: a traceback is an answer.
    return re.sub(r"\n?/\*# sourceMappingURL=.*?\*/", "", member.read().decode())


def _icons(sheet: str) -> Iterator[str]:
    """The rules of the icons that the templates name, and those that all icons share."""
    used = {
        name for page in TEMPLATES.glob("**/*.html") for name in re.findall(r"fr-icon-[a-z0-9-]+", page.read_text())
    }
    for selector, body in _rules(sheet):
        named = set(re.findall(r"fr-icon-[a-z0-9-]+", selector))
        if (named & used) if named else "fr-icon-" in selector:
            yield selector + body


def _adapted(sheet: str) -> Iterator[str]:
    """The sheet without font files, with a font that a theme can choose, dark where the reader's system is."""
    for selector, body in _rules(sheet):
        if selector.startswith("@font-face"):
            continue
        body = body.replace(_FONT, f"var(--font,{_FONT})")
        if DARK in selector:
            yield f"@media (prefers-color-scheme:dark){{{selector.replace(DARK, ':root:not([data-fr-theme])')}{body}}}"
        else:
            yield selector + body


def _rules(sheet: str) -> Iterator[tuple[str, str]]:
    """The rules at the top of a sheet: what comes before the first brace, and the rest up to the one that closes it."""
    start = depth = 0
    opened = -1
    for match in re.finditer(r"/\*.*?\*/|\"(?:\\.|[^\"])*\"|[{}]", sheet, re.DOTALL):
        if match[0] == "{":
            opened = match.start() if depth == 0 else opened
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                yield sheet[start:opened], sheet[opened : match.end()]
                start = match.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
