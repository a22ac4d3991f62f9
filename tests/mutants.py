#!/usr/bin/env python3
"""Changes every cell of the two tables of moves in turn and says which changes the tests notice.

    tests/mutants.py                   both tables
    tests/mutants.py --list            only names the changes

Needs Python 3.11 and `rustc`, and nothing else. A table is taken out of its file together with its states, its events, `after` and the
test that compares it with the written-out requirement; all changes are compiled together, without the server, so that a run takes seconds.
Changes: each row taken out, each row leading to every other state, and each move added that is not listed.
The working tree is not touched. Never run in CI. `docs/mutants.md` has the figures of the last run.

Exit code: 0 every change is noticed; 1 some are not (each is named); 2 a table could not be read or its test fails unchanged.
"""
import argparse
import itertools
import pathlib
import re
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
    code = code[: code.index("/// A number by which a source knows a person.")]
    code = code.replace("Serialize, Deserialize", "").replace("#[serde(rename = $code)] ", "")
    tests = (ROOT / "src/identity/graph_tests.rs").read_text()
    test = between(tests, "const TABLE: &str", '";\n') + between(tests, "#[test]\nfn a_link_moves_as", "\n}\n")
    return code, test


def names(code, kind):
    """The variants of `State` or `Event`, in order."""
    found = re.search(rf"enum {kind} \{{(.*?)\n\}}", code, re.S) or re.search(rf"\n    {kind} \{{(.*?)\n    \}}", code, re.S)
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


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--list", action="store_true", help="only name the changes")
    only_list = arguments.parse_args().list
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (code, test) in {"src/review/state.rs": review(), "src/identity/graph.rs": links()}.items():
            changes = list(mutants(code))
            for change, mutated in changes:
                if mutated == code:
                    die(f"{name}: {change}: nothing was changed")
                if only_list:
                    print(f"{name}: {change}")
            if only_list:
                continue
            unchanged, *answers = noticed([code, *(mutated for _, mutated in changes)], test, pathlib.Path(folder))
            if unchanged:
                die(f"{name}: its test fails unchanged")
            print(f"{name}: {len(answers)} changes, {sum(answers)} noticed", flush=True)
            missed += [f"{name}: {change}" for (change, _), answer in zip(changes, answers) if not answer]
    for change in missed:
        print(f"not noticed: {change}")
    sys.exit(1 if missed else 0)


main()
