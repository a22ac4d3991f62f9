#!/usr/bin/env python3
"""Writes r4-elements.txt: what FHIR R4 says of every element, one line each, for src/fhir/shape.

    python3 fhir-profiles/r4-elements.py FOLDER > fhir-profiles/r4-elements.txt

FOLDER holds StructureDefinition, ValueSet and CodeSystem of hl7.fhir.r4.core 4.0.1 as NDJSON, plain or .gz (one resource a line; the
package's JSON files one after another make such a file). Only the standard library is used. The same input gives the same bytes.
It ends with an error when the definitions hold something that the reader in src/fhir/shape/table.rs does not know.
"""
import gzip
import json
import pathlib
import sys

PRIMITIVES = {
    "base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer", "markdown", "oid",
    "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid", "xhtml",
}
SYSTEM = "http://hl7.org/fhirpath/System."
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
# Required value sets whose codes the package does not carry: the code's own grammar is all that is judged.
OPEN = {
    "mimetypes": "BCP 13",
    "ucum-units": "UCUM",
    "LL379-9": "LOINC answer list",
}
# Judged by its form: three capital letters.
CURRENCIES = "currencies"
# A class marks what it has seen in 64 bits.
ELEMENTS_MAX = 64


def read(folder, name):
    for path in sorted(pathlib.Path(folder).glob(name + ".ndjson*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield json.loads(line)


def last(url):
    return url.split("|")[0].rsplit("/", 1)[1]


def concepts(nodes):
    for node in nodes:
        yield node["code"]
        yield from concepts(node.get("concept", []))


def expand(url, value_sets, code_systems):
    """The codes of a value set by system."""
    value_set = value_sets[url.split("|")[0]]
    compose = value_set["compose"]
    if compose.get("exclude"):
        sys.exit(f"{url}: excludes codes")
    found = {}
    for include in compose["include"]:
        if include.get("filter") or include.get("valueSet"):
            sys.exit(f"{url}: filters codes or includes other sets")
        system = include["system"]
        codes = [concept["code"] for concept in include.get("concept", [])]
        if not codes:
            code_system = code_systems.get(system)
            if code_system is None or code_system["content"] != "complete":
                sys.exit(f"{url}: {system} is not in the package")
            codes = list(concepts(code_system["concept"]))
        found.setdefault(system, []).extend(codes)
    return found


def type_name(element, entry):
    """The type as the table writes it; `~` before a value that has no `_name` beside it."""
    code = entry["code"]
    if not code.startswith(SYSTEM):
        return code
    if element["base"]["path"] == "Resource.id":
        return "~id"
    told = [one["valueUrl"] for one in entry.get("extension", []) if one["url"] == FHIR_TYPE]
    if len(told) != 1 or told[0] not in PRIMITIVES:
        sys.exit(f"{element['path']}: unknown type {code}")
    return "~" + told[0]


def main(folder):
    definitions = {}
    for one in read(folder, "StructureDefinition"):
        if one["kind"] in ("resource", "complex-type") and one.get("derivation") != "constraint":
            if one["fhirVersion"] != "4.0.1":
                sys.exit(f"{one['url']}: of FHIR {one['fhirVersion']}")
            definitions[one["type"]] = one
    value_sets = {one["url"]: one for one in read(folder, "ValueSet") if "url" in one}
    code_systems = {one["url"]: one for one in read(folder, "CodeSystem") if "url" in one}

    sets, types, elements, open_sets = {}, [], 0, {}
    for name in sorted(definitions):
        definition = definitions[name]
        base = definition.get("baseDefinition", "").rsplit("/", 1)[-1]
        lines = [f"{name} : {base}" if base else name]
        counts = {}
        for element in definition["snapshot"]["element"][1:]:
            path = element["path"]
            parent = path.rsplit(".", 1)[0]
            counts[parent] = counts.get(parent, 0) + 1
            if element["base"]["path"] != path:
                continue
            if element["max"] not in ("1", "*") or element["min"] > 1 or "slicing" in element and not path.endswith(("[x]", "extension", "Extension")):
                sys.exit(f"{path}: unknown cardinality or slicing")
            if "contentReference" in element:
                kind = "@" + element["contentReference"].removeprefix("#")
            else:
                kind = " ".join(type_name(element, entry) for entry in element["type"])
            binding = element.get("binding", {})
            tail = ""
            if binding.get("strength") == "required":
                url, set_name = binding["valueSet"], last(binding["valueSet"])
                if set_name == CURRENCIES:
                    kind = "currency"
                elif set_name in OPEN:
                    open_sets.setdefault(set_name, []).append(path)
                else:
                    codes = expand(url, value_sets, code_systems)
                    if kind == "code":
                        line = " ".join(sorted({code for all in codes.values() for code in all}))
                    elif kind == "CodeableConcept" and len(codes) == 1:
                        (system, own), = codes.items()
                        set_name = "concept-" + set_name
                        line = f"{system}| {' '.join(sorted(set(own)))}"
                    else:
                        sys.exit(f"{path}: required binding of {kind} to {len(codes)} systems")
                    if sets.setdefault(set_name, line) != line or any(code.split() != [code] for all in codes.values() for code in all):
                        sys.exit(f"{path}: two value sets named {set_name}, or a code with a space")
                    tail = "|=" + set_name
            lines.append(f"{path}|{element['min']}..{element['max']}|{kind}{tail}")
            elements += 1
        if max(counts.values(), default=0) > ELEMENTS_MAX:
            sys.exit(f"{name}: more than {ELEMENTS_MAX} elements in one place")
        types.append("\n".join(lines))

    print("# What FHIR R4 (hl7.fhir.r4.core 4.0.1, CC0-1.0) says of every element. Written by r4-elements.py; do not edit.")
    print("#")
    print("# A required value set:       =name code code …   (of a CodeableConcept: =concept-name system| code code …)")
    print("# A type, then its elements:  Type : Base, whose elements it has too")
    print("# An element:                 path|min..max|type type …|=value set")
    print("#   path[x]  a choice: one of the types, named pathType      @path  as the element of that path")
    print("#   ~type    a value that has no _path beside it             currency  a code of three capital letters (ISO 4217)")
    print("#")
    for name, paths in sorted(open_sets.items()):
        print(f"# Required, and not judged because the package does not list {OPEN[name]}: {', '.join(paths)}")
    print(f"# {len(types)} types, {elements} elements, {len(sets)} value sets")
    for name in sorted(sets):
        print(f"={name} {sets[name]}")
    print("\n".join(types))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
