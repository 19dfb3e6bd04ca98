"""Keep a copy of a registry's code lists in step: python3 follow.py https://registry.example FOLDER."""

import hashlib
import json
import sys
from pathlib import Path
from urllib.request import urlopen

api, folder = sys.argv[1].rstrip("/") + "/api/v1", Path(sys.argv[2])


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whenever this is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_bytes(data)
    path.with_suffix(".part").replace(path)


cursor_file = folder / "cursor"
more, cursor = True, cursor_file.read_text() if cursor_file.exists() else ""
while more:
    page = json.load(urlopen(f"{api}/changes?limit=1000&since={cursor}", timeout=60))
    for item in page["items"]:
        slug, version, where = item["nomenclature"], item["release"], folder / item["nomenclature"] / item["release"]
        if item["type"] == "release":
            address = f"{api}/nomenclatures/{slug}/releases/{version}"
            for file in json.load(urlopen(address, timeout=60))["files"]:
                if file["format"] in ("json", "csv", "ntriples"):
                    data = urlopen(f"{address}?format={file['format']}", timeout=60).read()
                    if hashlib.sha256(data).hexdigest() != file["sha256"]:
                        sys.exit(f"{slug}@{version}: {file['format']} is not what was published")
                    write(where / f"concepts.{file['format']}", data)
        elif item["type"] == "change":
            print(slug, version, item["code"], item["compatibility"], *item["kinds"])
        else:
            write(where / "withdrawn", item["why"].encode())
    more, cursor = page["more"], page["cursor"]
    write(cursor_file, cursor.encode())  # Last: what was not written yet comes again.
