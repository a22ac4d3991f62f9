#!/usr/bin/env python3
"""Checks the words of what people read: README, CHANGELOG, ARCHITECTURE, docs, conformance pages, the help of every command, the faults.

    tests/words/check.py --cspell PATH --causeway target/release/causeway

Spelling is American (cspell); the words that it does not know are in `docs/glossary.md` or `tests/words/words.txt`. Style is a list of patterns,
`tests/words/rules.tsv`: the pattern, what to write instead, and a mistake that the pattern must find. A sentence has at most 40 words. No file is
left out. Mistakes are planted first, and each must be found.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LONGEST = 40
PLANTED = "The programme colours a licence, and its behaviour is mispeled."
PLANTED_WORDS = {"programme", "colours", "licence", "behaviour", "mispeled"}


def rules():
    """The pattern, the advice and the planted mistake of each rule."""
    lines = (HERE / "rules.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    assert rows and all(len(row) == 3 for row in rows), "a rule has three columns"
    return [(re.compile(pattern), advice, mistake) for pattern, advice, mistake in rows]


def vocabulary():
    """The terms of the glossary, and the words that are none of the dictionary."""
    own = [line.split("#")[0].strip() for line in (HERE / "words.txt").read_text(encoding="utf-8").splitlines()]
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| (?!word |---)(.+?) \|", glossary, re.M)
    return sorted({word for word in own if word} | {word for term in terms for word in re.findall(r"[A-Za-z]{4,}", term)})


def helps(causeway, *command):
    """The help of a command and of those under it, by name."""
    text = subprocess.run([causeway, *command, "--help"], capture_output=True, text=True, check=True).stdout
    found = {" ".join(["causeway", *command, "--help"]): text}
    listed = re.search(r"^Commands:\n(.*?)(?:\n\n|\Z)", text, re.M | re.S)
    for name in re.findall(r"^  ([a-z][a-z-]*)", listed[1], re.M) if listed else []:
        if name != "help":
            found |= helps(causeway, *command, name)
    return found


def literals():
    """The texts between quotation marks in the program's source, without those of its tests, by file."""
    found = {}
    for path in sorted([*(ROOT / "src").rglob("*.rs"), *(ROOT / "crates").rglob("src/**/*.rs")]):
        if "test" in str(path.relative_to(ROOT)):
            continue
        code = path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        code = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("//"))
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r"\\\n\s*", "", code), re.S)
        found[str(path.relative_to(ROOT))] = "\n\n".join(text.replace("\\n", "\n\n") for text in texts if " " in text)
    return found


def faults(causeway):
    said = json.loads(subprocess.run([causeway, "faults", "--json"], capture_output=True, text=True, check=True).stdout)
    texts = [value for row in said["items"] for value in row.values() if isinstance(value, str)]
    return "\n\n".join(texts)


def pages():
    paths = [ROOT / name for name in ["README.md", "CHANGELOG.md", "ARCHITECTURE.md"]]
    paths += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "conformance").rglob("*.md"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def prose(text):
    """A page without its code: fenced and indented blocks go, a span of code becomes one word."""
    text = re.sub(r"(?ms)^ *```.*?^ *```[ \t]*$", "", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    lines = [line for line in text.splitlines() if not re.match(r" {4,}(?! *([-*|]|\d+\.) )", line)]
    text = re.sub(r"`[^`]*`", "code", "\n".join(lines))
    return re.sub(r"\]\([^)]*\)", "]", text)


def sentences(text):
    """The sentences of prose, each on one line. A cell of a table, an item of a list and a heading end one."""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#]|\d+\.)\s?)", text):
        for piece in block.split("|") if block.lstrip().startswith("|") else [block]:
            yield from (part for part in re.split(r"(?<=[.!?:;])\s+", " ".join(piece.split())) if part)


def style(name, text, known):
    found = []
    for sentence in sentences(text):
        found += [f"{name}: {advice}: {sentence}" for pattern, advice, _ in known if pattern.search(sentence)]
        count = len(sentence.split())
        if count > LONGEST:
            found.append(f"{name}: {count} words, {LONGEST} are the most: {sentence}")
    return found


def misspelled(cspell, texts):
    """The words that are in no dictionary, with where they are."""
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for at, (name, text) in enumerate(texts.items()):
            names[f"{at}.md"] = name
            (Path(folder) / f"{at}.md").write_text(text, encoding="utf-8")
        config = json.loads((HERE / "cspell.json").read_text(encoding="utf-8"))
        config["words"] = vocabulary()
        (Path(folder) / "cspell.json").write_text(json.dumps(config), encoding="utf-8")
        command = [cspell, "lint", "--no-progress", "--no-summary", "--no-cache", "--config", "cspell.json", "*.md"]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert said.returncode in (0, 1), said.stderr
    rows = re.findall(r"(\d+\.md):(\d+):\d+.*?\((.+?)\)", said.stdout)
    assert bool(rows) == (said.returncode == 1), said.stdout + said.stderr
    return [(names[file], line, word) for file, line, word in rows]


def plant(cspell, known):
    """Every check must find its planted mistake."""
    seen = {word for _, _, word in misspelled(cspell, {"planted": PLANTED})}
    assert seen == PLANTED_WORDS, f"the spelling check finds only {sorted(seen)}"
    for pattern, advice, mistake in known:
        assert style("planted", mistake, [(pattern, advice, mistake)]), f"the rule {pattern.pattern} does not find: {mistake}"
    assert style("planted", "word " * (LONGEST + 1) + ".", []), "a long sentence is not found"
    assert "licence" not in prose("    licence\n\n```\nlicence\n```\n`licence`"), "code is read as prose"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cspell", required=True)
    parser.add_argument("--causeway", required=True)
    given = parser.parse_args()
    known, written = rules(), pages()
    plant(given.cspell, known)
    said = helps(given.causeway) | {"causeway faults": faults(given.causeway)}
    found = [f"{name}:{line}: '{word}' is in no dictionary" for name, line, word in misspelled(given.cspell, written | said)]
    for name, text in written.items():
        found += style(name, prose(text), known)
    for name, text in said.items():
        lines = "\n\n".join(line for line in text.splitlines() if "causeway " not in line)
        found += style(name, lines, known)
    for name, text in literals().items():
        found += [line for line in style(name, text, known) if " are the most: " not in line]
    print("\n".join(found))
    print(f"{len(written)} pages and {len(said)} texts of the program, {len(known)} rules of style: {len(found)} mistakes")
    sys.exit(bool(found))


main()
