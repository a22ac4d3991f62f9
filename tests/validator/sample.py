"""Some resources of each type out of NDJSON files and Bundles, one file each, for the validator."""
import argparse
import json
import pathlib

EACH = 12

parser = argparse.ArgumentParser()
parser.add_argument("--out", required=True)
parser.add_argument("sources", nargs="+")
options = parser.parse_args()
out = pathlib.Path(options.out)
out.mkdir(parents=True, exist_ok=True)


def resources(path):
    if path.suffix == ".ndjson":
        return path.read_text().splitlines()
    return [json.dumps(entry["resource"]) for entry in json.loads(path.read_text())["entry"]]


written = 0
for source in map(pathlib.Path, options.sources):
    taken = {}
    for line in resources(source):
        kind = json.loads(line)["resourceType"]
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= EACH:
            (out / f"{source.stem}-{kind}-{taken[kind]:02}.json").write_text(line)
            written += 1
print(f"sampled {written} resources")
