"""Recoding a data file, and a bare DuckDB join that reads and writes the same file, each as a process of its own.

Arguments: ``data FILE ROWS CODES`` writes a CSV file, every cell quoted, and a Parquet file beside it; ``bare`` and
``recode``, then database, folder of release files, file, output: they do it, and print wall and processor seconds. The
join adds the same columns, in two threads, and its rows come out in any order.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from benchmarks import generator
from registry import recoding
from registry.recoding import Plan
from registry.recoding.rule import lookup
from registry.store import Store

LIST = "banc/fichiers"
DAY = date(2025, 1, 1)
_AT_ONCE = 100_000


def write(file: Path, rows: int, codes: int) -> None:
    """A CSV file of so many rows, of about 35 bytes each, and the same as Parquet."""
    import duckdb

    with file.open("wb") as stream:
        stream.write(b'"numero";"code";"montant";"sexe"\n')
        for start in range(0, rows, _AT_ONCE):
            stream.write(
                b"".join(
                    b'"%08d";"L%07d";"%02d,%02d";"F"\n' % (n, n * 7 % (codes + 1), n % 90, n % 100)
                    for n in range(start, min(rows, start + _AT_ONCE))
                )
            )
    with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as connection:
        read = f"read_csv('{file}', all_varchar = true, header = true, delim = ';', quote = '\"')"
        connection.execute(f"COPY (FROM {read}) TO '{file.with_suffix('.parquet')}' (FORMAT parquet)")


def _plan() -> Plan:
    return Plan("code", LIST, f"{generator.SLUG}@1.0", at=DAY)


def bare(store: Store, file: Path, out: Path) -> dict[str, float]:
    """Join and write with DuckDB alone; what is joined is made before the clock starts."""
    import duckdb

    found = lookup(store, _plan())
    with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as connection:
        connection.execute("CREATE TABLE target (code TEXT, a TEXT, b TEXT, c TEXT, d TEXT, e TEXT)")
        rows = [(code, *found.entries[entry][0][:5]) for code, entry in found.known.items()]
        connection.executemany("INSERT INTO target VALUES (?, ?, ?, ?, ?, ?)", rows)
        if file.suffix == ".parquet":
            read, format = f"read_parquet('{file}')", "FORMAT parquet"
        else:
            read = f"read_csv('{file}', all_varchar = true, header = true, delim = ';', quote = '\"')"
            format = "FORMAT csv, HEADER, DELIMITER ';'"
        query = f"SELECT d.*, t.* EXCLUDE (code) FROM {read} AS d LEFT JOIN target AS t ON d.code = t.code"
        return _timed(lambda: connection.execute(f"COPY ({query}) TO '{out}' ({format})"))


def recode(store: Store, file: Path, out: Path) -> dict[str, float]:
    """Recode as the command does, from the crosswalk in the database on."""
    import duckdb  # noqa: F401 # The other process has it imported too when its clock starts.

    return _timed(lambda: recoding.recode(store, _plan(), file, out))


def _timed(work: Callable[[], object]) -> dict[str, float]:
    wall, processor = time.monotonic(), _processor()
    work()
    return {"seconds": time.monotonic() - wall, "processor": _processor() - processor}


def _processor() -> float:
    """Processor seconds of this process, and of those that it started and that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    step, *given = arguments
    if step == "data":
        write(Path(given[0]), int(given[1]), int(given[2]))
        return
    store = Store(given[0], Path(given[1]))
    try:
        print(json.dumps({"bare": bare, "recode": recode}[step](store, Path(given[2]), Path(given[3]))))
    finally:
        store.close()


if __name__ == "__main__":
    main(sys.argv[1:])
