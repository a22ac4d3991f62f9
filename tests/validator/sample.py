"""Some resources of each type out of NDJSON files and Bundles, and all of the showcase, one file each, for the validator."""
import argparse
import json
import pathlib

EACH = 12

parser = argparse.ArgumentParser()
parser.add_argument("--out", required=True)
parser.add_argument("--showcase-only", action="store_true")
parser.add_argument("--without", action="append", default=[], help="leave out what has an id that ends like this")
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
        resource = json.loads(line)
        kind, showcase = resource["resourceType"], resource["id"].startswith("showcase-")
        if options.showcase_only and not showcase or resource["id"].endswith(tuple(options.without)):
            continue
        taken[kind] = taken.get(kind, 0) + 1
        if taken[kind] <= EACH or showcase:
            name = resource["id"] if showcase else f"{taken[kind]:02}"
            (out / f"{source.stem}-{kind}-{name}.json").write_text(line)
            written += 1
print(f"sampled {written} resources")
