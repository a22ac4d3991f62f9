#!/usr/bin/env python3
"""Makes small changes in the program, one at a time, and says which of them the tests notice.

    tests/mutants.py                      everything: many hours
    tests/mutants.py tables               tables of moves of reviews and links, whole: seconds
    tests/mutants.py exchanges            table of moves of exchanges, each row
    tests/mutants.py identity             the matcher (crates/identity), whole
    tests/mutants.py consent release-rule search scopes assertion
                                          a sample of each of these modules
    tests/mutants.py --list WHAT          only names the changes
    tests/mutants.py --seed 7 --sample 90 another sample, or a larger one; 60 is the least

Needs Python 3.11, `rustc` and `cargo`; for code also cargo-mutants: `cargo install cargo-mutants --version 27.1.0 --locked`.
Tables: each row taken out, each row leading to another state, and each move added that is not listed. The tables of `tables` are taken out of
their files with the tests that compare them with the written-out requirement, and all changes are compiled together. The rows of exchanges are
changed in a copy of the project, and its tests run.
Code: cargo-mutants changes it in a copy. The module's own tests run first. Where they notice nothing, the integration tests that are named for
the module run too. A change that makes the tests hang is noticed; one that does not compile is not counted.
The working tree is not touched. Never run in CI. `docs/mutants.md` has the figures of the last run.

Exit code: 0 every change is noticed; 1 some are not (each is named); 2 something could not be read, or a test fails unchanged.
"""
import argparse
import dataclasses
import itertools
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def die(text):
    print(text, file=sys.stderr)
    sys.exit(2)


def between(text, begin, end):
    """From the first `begin` through the next `end`."""
    start = text.find(begin)
    stop = text.find(end, start)
    if start < 0 or stop < 0:
        die(f"not found: {begin!r} … {end!r}")
    return text[start : stop + len(end)]


def review():
    """Table and test of `src/review/state.rs`."""
    text = (ROOT / "src/review/state.rs").read_text()
    code = text[: text.index("#[cfg(test)]")]
    test = between(text, "    const TABLE: &str", '";\n') + between(text, "    #[test]\n    fn a_review_moves_as", "\n    }\n")
    return code, test


def links():
    """Table and test of `src/identity/graph.rs`."""
    text = (ROOT / "src/identity/graph.rs").read_text()
    code = text[text.index("macro_rules! words") :]
    code = code[: code.index("\n}\n", code.index("pub fn after(")) + 3]
    code = code.replace("Serialize, Deserialize", "").replace("#[serde(rename = $code)] ", "")
    tests = (ROOT / "src/identity/graph_tests.rs").read_text()
    test = between(tests, "const TABLE: &str", '";\n') + between(tests, "#[test]\nfn a_link_moves_as", "\n}\n")
    return code, test


def names(code, kind):
    """The variants of `State` or `Event`, in order."""
    found = re.search(rf"enum \w*{kind} \{{(.*?)\n\}}", code, re.S) or re.search(rf"\n    {kind} \{{(.*?)\n    \}}", code, re.S)
    return re.findall(r"^\s+([A-Z]\w+)(?:,| =>)", found.group(1), re.M)


def mutants(code):
    """Each change as its name and the changed code."""
    table = between(code, "pub const MOVES", "\n};")
    rows = re.findall(r"^ {8}\((.+), (\w+), (\w+)\),$", table, re.M)
    states, events = names(code, "State"), names(code, "Event")
    sources = [f"Some({state})" for state in states] + ["None"] if "None" in table else states
    if len(rows) < 10 or not set(row[2] for row in rows) <= set(states):
        die("the table of moves is not as expected")
    line = "        ({}, {}, {}),\n".format
    for row in rows:
        move = f"{row[0]} {row[1]}"
        yield f"{move}: taken out", code.replace(line(*row), "")
        for state in states:
            if state != row[2]:
                yield f"{move}: to {state}, not {row[2]}", code.replace(line(*row), line(row[0], row[1], state))
    listed = {row[:2] for row in rows}
    for number, pair in enumerate(itertools.product(sources, events)):
        if pair not in listed:
            state = states[number % len(states)]
            yield f"{pair[0]} {pair[1]}: added, to {state}", code.replace(line(*rows[-1]), line(*rows[-1]) + line(*pair, state))


def noticed(codes, test, folder):
    """For each text of `codes` whether its test fails. They are compiled together, each as a module of its own."""
    source, program = folder / "tables.rs", folder / "tables"
    with source.open("w") as file:
        file.write("#![allow(dead_code)]\n")
        for number, code in enumerate(codes):
            code = re.sub(r"^//!.*\n", "", code, flags=re.M)
            file.write(f"mod m{number} {{\n{code}\n#[cfg(test)]\nmod tests {{\nuse super::*;\n{test}\n}}\n}}\n")
    built = subprocess.run(
        ["rustc", "--edition", "2024", "--test", "-C", "debuginfo=0", "-o", program, source], capture_output=True, text=True
    )
    if built.returncode:
        die(built.stderr)
    ran = subprocess.run([program], capture_output=True, text=True)
    answers = dict(re.findall(r"^test m(\d+)::tests::\w+ \.\.\. (ok|FAILED)$", ran.stdout, re.M))
    if len(answers) != len(codes):
        die(f"{len(answers)} of {len(codes)} tests answered")
    return [answers[str(number)] == "FAILED" for number in range(len(codes))]


def tables(options, folder):
    """The tables of moves of reviews and identity links: changes and what was not noticed."""
    missed = []
    for name, (code, test) in {"src/review/state.rs": review(), "src/identity/graph.rs": links()}.items():
        changes = list(mutants(code))
        for change, mutated in changes:
            if mutated == code:
                die(f"{name}: {change}: nothing was changed")
            if options.list:
                print(f"{name}: {change}")
        if options.list:
            continue
        unchanged, *answers = noticed([code, *(mutated for _, mutated in changes)], test, folder)
        if unchanged:
            die(f"{name}: its test fails unchanged")
        tell(name, len(answers), sum(answers), 0)
        missed += [f"{name}: {change}" for (change, _), answer in zip(changes, answers) if not answer]
    return missed


def tell(name, tried, caught, unviable):
    share = f"{100 * caught / tried:.1f} %" if tried else "none"
    print(f"{name}: {tried} changes, {caught} noticed ({share}); {unviable} more do not compile", flush=True)


EXCHANGES = "src/exchange/moves.rs"
EXCHANGE_TESTS = ["test", "-p", "causeway", "--lib", "--test", "it", "--", "exchange::"]


def rows_of_exchanges(text):
    """The rows of the table, as they are written."""
    head = text.index("pub const MOVES: &[Move]")
    begin = text.index("    &[\n", head) + len("    &[\n")
    table = text[begin : text.index("\n    ]\n};", begin)]
    rows, row, depth = [], "", 0
    for line in table.splitlines(keepends=True):
        if not row and line.strip().startswith("//"):
            continue
        row += line
        depth += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        if depth == 0 and line.rstrip().endswith(","):
            rows.append(row)
            row = ""
    if len(rows) < 20 or not all(row.lstrip().startswith("Move::new(") for row in rows):
        die(f"{EXCHANGES}: the table of moves is not as expected")
    return rows


def changes_of_exchanges(seed):
    """Two changes of each row: it is taken out, and it leads to another phase."""
    text = (ROOT / EXCHANGES).read_text()
    phases = names((ROOT / "src/exchange/phase.rs").read_text(), "Phase")
    chance = random.Random(f"{seed} exchanges")
    for number, row in enumerate(rows_of_exchanges(text), 1):
        event = re.search(r"E::(\w+)", row)[1]
        name = f"{EXCHANGES}: row {number}, {event}"
        yield f"{name}: taken out", text.replace(row, "", 1)
        target = re.search(r"\bTo\((\w+)\)|\bStays\b", row)
        other = chance.choice([phase for phase in phases if phase != target[1]])
        moved = row[: target.start()] + f"LeadsTo::Phase(Phase::{other})" + row[target.end() :]
        yield f"{name}: to {other}, not {target[1] or 'the same'}", text.replace(row, moved, 1)


def exchanges(options, folder):
    """The table of moves of exchanges, changed in a copy of the project."""
    changes = list(changes_of_exchanges(options.seed))
    if options.list:
        print("\n".join(name for name, _ in changes))
        return []
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "node_modules"))
    if cargo(EXCHANGE_TESTS, copy).returncode:
        die("the tests of exchanges fail unchanged")
    missed, caught, unviable = [], 0, 0
    original = (copy / EXCHANGES).read_text()
    for name, text in changes:
        if text == original:
            die(f"{name}: nothing was changed")
        (copy / EXCHANGES).write_text(text)
        ran = cargo(EXCHANGE_TESTS, copy)
        if "could not compile" in ran.stderr:
            unviable += 1
        elif ran.returncode:
            caught += 1
        else:
            missed.append(name)
    tell(EXCHANGES, caught + len(missed), caught, unviable)
    return missed


def cargo(arguments, place):
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    return subprocess.run(["cargo", *arguments], cwd=place, env=environment, capture_output=True, text=True)


@dataclasses.dataclass
class Module:
    """Code that cargo-mutants changes, and what `cargo test` runs for it: its own tests, then integration tests."""

    files: list[str]
    own: list[str]
    others: list[str] = dataclasses.field(default_factory=list)
    package: str = "causeway"
    is_whole: bool = False


def library(*filters):
    return ["--lib", "--", *filters]


def integration(*filters):
    return ["--test", "it", "--", *filters]


MODULES = {
    "identity": Module(["crates/identity/src/**/*.rs"], [], package="causeway-identity", is_whole=True),
    "consent": Module(["src/consent/policy.rs"], library("consent::", "member_match::"), integration("contract_grant", "withdrawal::")),
    "release-rule": Module(
        ["src/store/release_rule.rs"],
        library("release_rule"),
        integration("live_grant", "release_rules", "revoked_answers", "withdrawal::", "contract_release"),
    ),
    "search": Module(
        ["src/fhir/search/**/*.rs"], library("fhir::search"), integration("search_oracle", "search_fuzz", "threats_search", "dates::")
    ),
    "scopes": Module(["src/security/scopes.rs"], library("security::"), integration("contract_trust", "bad_input", "threats::")),
    "assertion": Module(["src/security/assertion.rs"], library("security::"), integration("contract_trust", "threats::")),
}
MUTANTS = "cargo-mutants 27.1.0"


def escaped(name):
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", name)


def verdicts(module, chosen, tests, folder):
    """Runs `tests` for the chosen changes. Returns the names by verdict."""
    shutil.rmtree(folder / "mutants.out", ignore_errors=True)
    only = [part for name in chosen for part in ("--re", f"^{escaped(name)}$")]
    command = ["mutants", "--colors", "never", "--output", str(folder), *chosen_files(module), *only, "--", *tests]
    ran = cargo(command, ROOT)
    if ran.returncode not in (0, 2, 3):
        die(f"cargo {' '.join(command[:6])} …: exit code {ran.returncode}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    found = {}
    for verdict in ("caught", "missed", "timeout", "unviable"):
        text = (folder / "mutants.out" / f"{verdict}.txt").read_text()
        found[verdict] = [line for line in text.splitlines() if line]
    if sum(map(len, found.values())) != len(chosen):
        die(f"{sum(map(len, found.values()))} of {len(chosen)} changes were tried")
    return found


def chosen_files(module):
    return ["--package", module.package, *(part for file in module.files for part in ("--file", file))]


def code(name, options, folder):
    """The code of a module: what was not noticed."""
    module = MODULES[name]
    version = cargo(["mutants", "--version"], ROOT)
    if version.stdout.strip() != MUTANTS:
        die(f"{MUTANTS} is needed: cargo install cargo-mutants --version {MUTANTS.split()[1]} --locked")
    listed = cargo(["mutants", "--list", "--colors", "never", *chosen_files(module)], ROOT)
    every = [line for line in listed.stdout.splitlines() if line]
    if listed.returncode or not every:
        die(f"{name}: cargo mutants --list: {listed.stderr[-2000:]}")
    chosen = every
    if not module.is_whole and len(every) > options.sample:
        chosen = sorted(random.Random(f"{options.seed} {name}").sample(every, options.sample))
    if options.list:
        print("\n".join(f"{name}: {change}" for change in chosen))
        return []
    print(f"{name}: {len(chosen)} of {len(every)} changes, seed {options.seed}", flush=True)
    found = verdicts(module, chosen, module.own, folder)
    caught, missed, unviable = len(found["caught"]) + len(found["timeout"]), found["missed"], len(found["unviable"])
    if missed and module.others:
        again = verdicts(module, missed, module.others, folder)
        caught += len(again["caught"]) + len(again["timeout"])
        missed = again["missed"]
    tell(name, caught + len(missed), caught, unviable)
    return [f"{name}: {change}" for change in missed]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ["tables", "exchanges", *MODULES]
    arguments.add_argument("what", nargs="*", metavar="WHAT", help=f"some of: {', '.join(every)}")
    arguments.add_argument("--list", action="store_true", help="only name the changes")
    arguments.add_argument("--seed", type=int, default=1, help="the seed of samples")
    arguments.add_argument("--sample", type=int, default=60, help="how many changes of each module, at least 60")
    options = arguments.parse_args()
    unknown = [what for what in options.what if what not in every]
    if unknown or options.sample < 60:
        arguments.error(f"unknown: {', '.join(unknown)}" if unknown else "a sample has at least 60 changes")
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for what in options.what or every:
            steps = {"tables": tables, "exchanges": exchanges}
            place = pathlib.Path(folder)
            missed += steps[what](options, place) if what in steps else code(what, options, place)
    for change in missed:
        print(f"not noticed: {change}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
