"""Writes the table of must-support elements that the showcase member has to hold, out of the guides' packages.

Each line: guide, profile, then the elements. `a{x}` is an `a` in which `x` stands somewhere (a slice; `x|y` either), `a*` a choice.
Run once for each new package: must_support.py --ig FOLDER > tests/validator/must-support.tsv
"""
import argparse
import json
import pathlib
import tarfile

GUIDES = [
    ("us-core-3.1.1", "hl7.fhir.us.core-3.1.1.tgz", "us-core- pediatric- head-"),
    ("us-core-6.1.0", "hl7.fhir.us.core-6.1.0.tgz", "us-core- pediatric- head-"),
    ("pdex-2.0.0", "hl7.fhir.us.davinci-pdex-2.0.0.tgz", "pdex-device pdex-medicationdispense pdex-priorauthorization pdex-provenance"),
    ("pdex-2.2.0", "hl7.fhir.us.davinci-pdex-2.2.0.tgz", "pdex-device pdex-medicationdispense pdex-priorauthorization pdex-provenance pdex-provider-consent"),
    ("carin-bb-2.1.0", "hl7.fhir.us.carin-bb-2.1.0.compiled.tgz", "C4BB-"),
]


def resources(path):
    with tarfile.open(path) as packed:
        for member in packed:
            name = member.name.split("/")
            if len(name) == 2 and name[1].startswith(("StructureDefinition-", "ValueSet-")):
                yield json.load(packed.extractfile(member))


def leaves(value):
    """The strings that tell a slice: the code of a pattern before its system."""
    if isinstance(value, dict):
        for key in ("code", "coding", "system", "value", "type"):
            if key in value:
                return leaves(value[key])
        return []
    if isinstance(value, list):
        return leaves(value[0]) if value else []
    return [str(value)]


class Profile:
    def __init__(self, definition, sets):
        self.elements = {element["id"]: element for element in definition["snapshot"]["element"]}
        self.sets = sets

    def fixed(self, element_id):
        element = self.elements[element_id]
        for key, value in element.items():
            if key.startswith(("pattern", "fixed")):
                return leaves(value)
        url = (element.get("binding") or {}).get("valueSet", "").split("|")[0]
        if (element.get("binding") or {}).get("strength") == "required" and url in self.sets:
            includes = self.sets[url].get("compose", {}).get("include", [])
            codes = [concept["code"] for include in includes for concept in include.get("concept", [])]
            return ["|".join(codes)] if codes else []
        return []

    def marks(self, slice_id):
        """What tells the slice `slice_id` from its siblings."""
        element = self.elements[slice_id]
        for kind in element.get("type", []):
            if kind["code"] == "Extension" and kind.get("profile"):
                return [kind["profile"][0].split("|")[0]]
        base = self.elements.get(slice_id.rsplit(":", 1)[0], {})
        for discriminator in base.get("slicing", {}).get("discriminator", []):
            path = discriminator["path"]
            inner = slice_id if path == "$this" else f"{slice_id}.{path}"
            for candidate in (inner, f"{inner}.coding.code", f"{inner}.code"):
                if candidate in self.elements and (found := self.fixed(candidate)):
                    return found
        return []

    def path(self, element_id):
        """The element's path with its slices marked; None for the root."""
        steps, so_far = [], []
        for step in element_id.split("."):
            so_far.append(step)
            name, _, slice_name = step.partition(":")
            if name.endswith("[x]"):
                steps.append(slice_name if slice_name.startswith(name[:-3]) and slice_name else name[:-3] + "*")
                continue
            if slice_name:
                marks = self.marks(".".join(so_far))
                name += "".join(f"{{{mark}}}" for mark in marks)
            steps.append(name)
        return ".".join(steps[1:]) or None


parser = argparse.ArgumentParser()
parser.add_argument("--ig", required=True, type=pathlib.Path)
options = parser.parse_args()
for guide, package, wanted in GUIDES:
    everything = list(resources(options.ig / package))
    sets = {one["url"]: one for one in everything if one["resourceType"] == "ValueSet"}
    for definition in sorted(everything, key=lambda one: one["id"]):
        if definition["resourceType"] != "StructureDefinition" or definition.get("abstract") or definition["type"] == "Extension":
            continue
        name = definition["id"]
        if not name.startswith(tuple(wanted.split())):
            continue
        # Of claims only what may leave counts: the Basis profiles, that is.
        if name.startswith("C4BB-ExplanationOfBenefit") and not name.endswith("-Basis"):
            continue
        profile = Profile(definition, sets)
        paths = {profile.path(element["id"]) for element in definition["snapshot"]["element"] if element.get("mustSupport")}
        paths.discard(None)
        # An element that another one leads through needs no line of its own.
        paths = sorted(path for path in paths if not any(other.startswith(path + ".") for other in paths))
        print("\t".join([guide, name.removesuffix("-Basis"), " ".join(paths)]))
