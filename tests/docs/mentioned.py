"""The commands that sentences and tables mention: whether the program would take each of them as it stands.

A span of code is a command when it begins with `causeway `, or with a command and one of its subcommands or options. The program parses the line with
`--help` behind it: it refuses an unknown command, an unknown option, a value that an option does not take, and an argument too many, and does nothing else.
What it does not refuse is a line that lacks an argument or the value of its last option, since a sentence may name a command or an option alone.
"""

import functools
import itertools
import re
import shlex
import subprocess

from place import ROOT, written

VALUES = {"URL": "https://ehr.example/fhir"}
SPAN = re.compile(r"`([^`]+)`")
PLANTED = {
    "causeway exchange shwo ID": False, "causeway exchange show ID --recieved": False, "causeway exchange show ID another": False,
    "causeway operator token --role boss": False, "migrate --grand": False, "migrate --grant": True, "partner add --fil FILE": False, "review list\\|shwo": False,
    "causeway exchange show ID --received": True, "states [--json\\|--dot\\|--mermaid]": True, "completions SHELL": True,
    "causeway partner suspend …": True, "exchange replay --parked\n--partner P --reason …": True,
}


def spans(text):
    """The spans of code outside fenced and indented blocks: the number of the line, and the span on one line."""
    def blank(found):
        return "\n" * found[0].count("\n")

    text = re.sub(r"(?ms)^ *```.*?^ *```[ \t]*$", blank, text)
    text = re.sub(r"(?m)^ {4,}(?! *([-*|]|\d+\.) ).*$", "", text)
    for block in re.finditer(r"(?:.+\n?)+", text):
        for found in SPAN.finditer(block[0]):
            at = block.start() + found.start()
            yield text[:at].count("\n") + 1, " ".join(found[1].split())


@functools.cache
def help_of(causeway, *command):
    return subprocess.run([causeway, *command, "--help"], capture_output=True, text=True, check=True).stdout


@functools.cache
def below(causeway, *command):
    """The subcommands of a command."""
    listed = re.search(r"^Commands:\n(.*?)(?:\n\n|\Z)", help_of(causeway, *command), re.M | re.S)
    return set(re.findall(r"^  ([a-z][a-z-]*)", listed[1], re.M)) if listed else set()


def command_of(causeway, span):
    """The words after `causeway` when the span is a command, else none."""
    if span.startswith("causeway "):
        return span.removeprefix("causeway ")
    first, _, rest = span.partition(" ")
    if first not in below(causeway) or not rest:
        return None
    under = below(causeway, first)
    second = re.split(r"[ |\\]", rest)[0]
    follows = second in under if under else second.isupper() or re.match(r"\[?--|[A-Z]+…", second)
    return span if follows or second.startswith(("--", "[--")) else None


def forms(line):
    """The lines that a form stands for: what is in brackets may be there, and of `a|b` there is one."""
    line = re.split(r"[;>]| \| ", line.replace("\\|", "|"))[0]
    choices = [word.split("|") for word in shlex.split(line.replace("[", "").replace("]", ""))]
    return [list(chosen) for chosen in itertools.product(*choices)]


def refusal(causeway, words):
    """What the program says against a line; nothing when it takes it. A word in capitals stands for any value."""
    words = [VALUES.get(word, word) for word in words]
    for _ in words:
        done = subprocess.run([causeway, *words, "--help"], capture_output=True, text=True)
        value = re.search(r"invalid value '([A-Z]+|…)' for .*\n\s+\[possible values: ([^,\]]+)", done.stderr)
        if done.returncode == 0:
            return None
        if "a value is required for" in done.stderr and words[-1].startswith("--"):
            words = [*words, "1"]
            continue
        if not value:
            break
        words = [value[2] if word == value[1] else word for word in words]
    if words[-1] == "…":
        return refusal(causeway, words[:-1])
    return done.stderr.splitlines()[0]


def faults(causeway, span):
    line = command_of(causeway, " ".join(span.split()))
    if line is None:
        return None
    return [said for words in forms(line) if (said := refusal(causeway, words))]


def mentioned(causeway):
    """How many commands are mentioned, and those that the program refuses."""
    for span, holds in PLANTED.items():
        assert (faults(causeway, span) == []) == holds, f"planted: {span}: {faults(causeway, span)}"
    count, wrong = 0, []
    for path in [*written(), ROOT / "CHANGELOG.md", ROOT / "ARCHITECTURE.md"]:
        for number, span in spans(path.read_text(encoding="utf-8")):
            found = faults(causeway, span)
            count += found is not None
            wrong += [f"{path.relative_to(ROOT)}:{number}: {span}: {said}" for said in found or []]
    return count, wrong
