"""What a recoding came to, to be filed with the study that uses it: as text, as JSON, and as a page of its own.

It holds counts and codes, and never a value of another column. ``mask_under`` hides small counts, and what would give
them away.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.recoding.rows import Done
from registry.recoding.rule import STATUSES, Plan

_LICENCE = "Licence Ouverte 2.0"


@dataclass(frozen=True)
class Report:
    """What is known of one recoding. ``readings`` are the routes that it took, with the day from which each held."""

    plan: Plan
    readings: Sequence[Mapping[str, Any]]
    done: Done
    name: str
    version: str

    @property
    def hidden(self) -> frozenset[str]:
        """The statuses whose counts are hidden: small ones, and one more where the total would tell a single one."""
        counts = self.done.tally.counts
        small = {status for status, count in counts.items() if count.rows < self.plan.mask_under}
        if len(small) == 1 and len(counts) > 1:
            small.add(min(counts.keys() - small, key=lambda status: (counts[status].rows, status)))
        return frozenset(small)

    def document(self) -> dict[str, Any]:
        """The report as JSON; a count that is hidden is null."""
        tally, plan = self.done.tally, self.plan
        return {
            "type": "recoding",
            "column": plan.column,
            "from": plan.source,
            "to": plan.target,
            "options": {
                "level": plan.level,
                "dateColumn": plan.date_column or None,
                "by": plan.by if plan.date_column else None,
                "at": None if plan.date_column else plan.at.isoformat(),
                "onMany": plan.on_many,
                "weights": plan.weights if plan.on_many == "rows" else None,
                "maskUnder": plan.mask_under,
            },
            "rows": tally.rows,
            "rowsOut": tally.rows_out,
            "statuses": [self._status(status) for status in STATUSES if status in tally.counts],
            "reversible": tally.reversible,
            "input": {"sha256": self.done.read, **({"name": self.name} if self.name else {})},
            "output": {"sha256": self.done.written or None},
            "routes": list(self.readings),
            "tool": {"name": "Socle", "version": self.version},
            "citation": self.citation(),
        }

    def _status(self, status: str) -> dict[str, Any]:
        count = self.done.tally.counts[status]
        hidden = status in self.hidden
        shown = [code for code, rows in count.examples if not hidden and rows >= self.plan.mask_under]
        return {
            "status": status,
            "label": STATUSES[status] + (self._first_day() if status == "noRelease" else ""),
            "rows": None if hidden else count.rows,
            "codes": None if hidden else count.codes,
            "examples": shown,
        }

    def _first_day(self) -> str:
        """From when on something applies: what somebody needs to know whose rows are older than the table."""
        days = [reading["since"] for reading in self.readings if "since" in reading]
        return f" (rien ne l'est avant le {min(days)})" if days else ""

    def citation(self) -> str:
        """One sentence in French for the study's sources."""
        ends = " ; ".join(dict.fromkeys(self._read(reading) for reading in self.readings))
        day = f"Lu au {self.plan.at.isoformat()}. " if not self.plan.date_column else ""
        return (
            f"Recodage de la colonne « {self.plan.column} » par Socle {self.version} : {ends}. {day}"
            f"Nomenclatures sous {_LICENCE}. Fichier lu : SHA-256 {self.done.read}."
        )

    @staticmethod
    def _read(reading: Mapping[str, Any]) -> str:
        return f"de {_end(reading['from'])} vers {_end(reading['to'])}"

    def lines(self) -> Iterator[str]:
        """The report as text in French."""
        tally = self.done.tally
        yield f"Recodage de la colonne {self.plan.column} : {self.plan.source} → {self.plan.target}"
        out = f", écrites : {tally.rows_out}" if tally.rows_out != tally.rows else ""
        yield f"Lignes lues : {tally.rows}{out}"
        yield f"  {'statut':<16}{'lignes':>12}{'codes':>10}"
        for one in self.document()["statuses"]:
            rows, codes = (_shown(one[what]) for what in ("rows", "codes"))
            examples = f" (par exemple {', '.join(one['examples'])})" if one["examples"] else ""
            yield f"  {one['status']:<16}{rows:>12}{codes:>10}  {one['label']}{examples}"
        yield f"Réversible : {'oui' if tally.reversible else 'non'}"
        yield f"Fichier lu : SHA-256 {self.done.read}"
        if self.done.written:
            yield f"Fichier écrit : SHA-256 {self.done.written}"
        for reading in self.readings:
            yield f"Chemin : {self._since(reading)}{self._read(reading)}"
            for hop in reading["hops"]:
                yield f"  {_hop(hop)}"
        yield self._asked()
        yield f"Pour citer : {self.citation()}"

    def _asked(self) -> str:
        asked = {name: value for name, value in self.document()["options"].items() if value not in (None, 0)}
        return "Options : " + ", ".join(f"{name} = {value}" for name, value in asked.items())

    def page(self) -> str:
        """The report as a page of its own: HTML in French, with nothing to fetch and nothing to run."""
        tally, plan = self.done.tally, self.plan
        title = f"Recodage de « {plan.column} » : {plan.source} → {plan.target}"
        statuses = "".join(
            f'<tr><th scope="row">{_text(one["label"])}<br><code>{_text(one["status"])}</code></th>'
            f'<td class="n">{_text(_shown(one["rows"]))}</td>'
            f'<td class="n">{_text(_shown(one["codes"]))}</td>'
            f"<td>{', '.join(f'<code>{_text(code)}</code>' for code in one['examples']) or '–'}</td></tr>\n"
            for one in self.document()["statuses"]
        )
        readings = "".join(
            f"<li>{_text(self._since(reading))}{_text(self._read(reading))}"
            f"<ul>{''.join(f'<li>{_text(_hop(hop))}</li>' for hop in reading['hops'])}</ul></li>\n"
            for reading in self.readings
        )
        facts = {
            "Lignes lues": tally.rows,
            "Lignes écrites": tally.rows_out,
            "Réversible": "oui" if tally.reversible else "non",
            "Fichier lu, SHA-256": self.done.read,
            "Fichier écrit, SHA-256": self.done.written or "–",
            "Options": self._asked().removeprefix("Options : "),
            "Outil": f"Socle {self.version}",
        }
        told = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in facts.items())
        return _PAGE.format(
            title=_text(title), facts=told, statuses=statuses, readings=readings, citation=_text(self.citation())
        )

    @staticmethod
    def _since(reading: Mapping[str, Any]) -> str:
        return f"à partir du {reading['since']} : " if "since" in reading else ""


def _shown(count: int | None) -> str:
    return "masqué" if count is None else str(count)


def _text(value: object) -> str:
    return html.escape(str(value))


def _end(end: Mapping[str, Any]) -> str:
    if "codeList" in end:
        edition = f"{end['codeList']}, édition {end['edition']} de sa table vers {end['nomenclature']} {end['release']}"
        return f"{edition} (SHA-256 {end['sha256']})"
    return f"{end['nomenclature']}, version {end['release']} (SHA-256 {end['contentSha256']})"


def _hop(hop: Mapping[str, Any]) -> str:
    if hop["type"] == "crosswalk":
        way = "table de correspondance, lue à rebours :" if hop.get("inverse") else "table de correspondance"
        ends = f"{hop['codeList']}, édition {hop['edition']}, vers {hop['nomenclature']} {hop['release']}"
        return f"{way} {ends} (SHA-256 {hop['sha256']})"
    if "until" in hop:
        return f"filiation de {hop['nomenclature']} {hop['release']}, suivie jusqu'au {hop['until']}"
    return f"filiation de {hop['nomenclature']} : {' → '.join(hop['releases'])}"


_PAGE = """<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; color: #161616; background: #fff; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
caption {{ text-align: left; font-weight: bold; }}
th, td {{ border-bottom: 1px solid #929292; padding: .4rem .6rem; text-align: left; vertical-align: top; }}
td.n {{ text-align: right; }}
dt {{ font-weight: bold; }}
dd {{ margin: 0 0 .5rem; overflow-wrap: anywhere; }}
li, p {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<dl>
{facts}</dl>
<h2>Résultat</h2>
<table>
<caption>Lignes et codes par statut</caption>
<thead><tr><th scope="col">Statut</th><th scope="col">Lignes</th><th scope="col">Codes</th>
<th scope="col">Exemples de codes</th></tr></thead>
<tbody>
{statuses}</tbody>
</table>
<h2>Chemin suivi</h2>
<ul>
{readings}</ul>
<h2>Pour citer</h2>
<p>{citation}</p>
</main>
</body>
</html>
"""
