#!/bin/sh
# Keep a copy of a registry's code lists in step: sh follow.sh https://registry.example FOLDER (curl, sed, sha256sum).
set -eu
api="${1%/}/api/v1" folder=$2
mkdir -p "$folder"
ask() { curl --fail --silent --show-error --max-time 60 "$@"; }
cursor=$(cat "$folder/cursor" 2>/dev/null || true)
while ask "$api/changes?limit=1000&format=ndjson&since=$cursor" >"$folder/changes.part" && [ -s "$folder/changes.part" ]; do
    # Members of an object come in this order, and no text can hold a bare quotation mark.
    sed -n 's/^{"type":"\(release\|withdrawal\)","nomenclature":"\([^"]*\)","release":"\([^"]*\)".*/\1 \2 \3/p' \
        "$folder/changes.part" >"$folder/news.part"
    while read -r type slug version; do
        where="$folder/$slug/$version" address="$api/nomenclatures/$slug/releases/$version"
        mkdir -p "$where"
        if [ "$type" = withdrawal ]; then
            ask "$address/status" >"$where/withdrawn.part"
            mv "$where/withdrawn.part" "$where/withdrawn"
            continue
        fi
        for format in json csv ntriples; do
            sum=$(ask "$address" | sed "s/.*{\"format\":\"$format\",[^}]*\"sha256\":\"\([0-9a-f]*\)\".*/\1/")
            ask "$address?format=$format" >"$where/part"
            echo "$sum  $where/part" | sha256sum --check --status || { echo "$slug@$version: $format is not what was published" >&2; exit 1; }
            mv "$where/part" "$where/concepts.$format" # Whole or not at all, whenever this is killed.
        done
        echo "$slug@$version"
    done <"$folder/news.part"
    cursor=$(sed -n '$s/.*"cursor":"\([^"]*\)"}$/\1/p' "$folder/changes.part")
    printf %s "$cursor" >"$folder/cursor.part"
    mv "$folder/cursor.part" "$folder/cursor" # Last: what was not written yet comes again.
done
