#!/usr/bin/env python3
"""Verifies an exported ledger of Causeway, or an evidence packet, with nothing but Python's standard library.

It shares no code with Causeway: it reads the formats that are published (C2SP signed-note, tlog-checkpoint and tlog-tiles, RFC 6962 hashes,
Ed25519 of RFC 8032), so that an auditor need not trust the program that made the export.

    python3 verify_ledger.py DIR --key KEY [--against CHECKPOINT] [--witness KEY] [--json]
    python3 verify_ledger.py PACKET --key KEY [--against CHECKPOINT] [--witness KEY] [--json]
    python3 verify_ledger.py --batch

KEY is the public key of the log (NAME+HASH+KEY), or a file that holds it. Get it from somebody you trust, not from the export itself.
CHECKPOINT is a checkpoint of this log that was kept elsewhere: the export must extend it. The KEY of a witness is written in the same way
(C2SP tlog-cosignature): the export must hold its cosignature, and extend the newest checkpoint that it confirmed.
A PACKET is one file: every file in it must be the one that the key signed, and every entry must be in the tree of its checkpoint. Only a
CHECKPOINT of the same size can be compared with that of a packet.
With --batch it verifies many exports: each line on standard input has the arguments for one of them, and each line of the answer is JSON.

Exit codes: 0 all is as it was signed; 1 something was changed; 2 wrong arguments; 3 something is missing or cannot be read; 70 the export
contradicts the checkpoint that was kept elsewhere, or has fewer entries.
"""

import argparse
import base64
import binascii
import functools
import hashlib
import json
import os
import re
import shlex
import sys
import time

OK, TAMPERED, USAGE, INCOMPLETE, FORKED = 0, 1, 2, 3, 70
NAMES = {OK: "ok", TAMPERED: "tampered", INCOMPLETE: "incomplete", FORKED: "forked"}
WIDTH = 256
LEVELS = 8
# The last second that has a year of four digits.
LATEST = 253402300799


# Ed25519, as RFC 8032 section 5.1 describes it. Only verifying, so nothing here needs to be secret or fast.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add_points(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % P, k * m % P, j * k % P, i * m % P


def times(number, point):
    total = (0, 1, 1, 0)
    while number > 0:
        if number & 1:
            total = add_points(total, point)
        point = add_points(point, point)
        number >>= 1
    return total


def point_of(text):
    """The point that 32 bytes encode, or None."""
    y = int.from_bytes(text, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else (0, y, 1, 0)
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * ROOT % P
    if (x * x - square) % P != 0:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


@functools.lru_cache(maxsize=64)
def is_signed(public, text, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    left, right = times(s, BASE), add_points(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Hashes of RFC 6962.


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def root_of(nodes):
    """The hash over nodes of one height, of which only the last may stand for less than the others."""
    if not nodes:
        return hashlib.sha256(b"").digest()
    if len(nodes) == 1:
        return nodes[0]
    left = 1 << (len(nodes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root_of(nodes[:left]) + root_of(nodes[left:])).digest()


class Edge:
    """A growing tree: its size, and the tiles that are not full."""

    def __init__(self):
        self.size = 0
        self.levels = [[] for _ in range(LEVELS + 1)]

    def push(self, leaf):
        """Appends a leaf, and returns the tiles of level 1 and above that became full."""
        self.size += 1
        full, node = [], leaf
        for level in range(LEVELS):
            tile = self.levels[level]
            tile.append(node)
            if len(tile) < WIDTH:
                break
            if level > 0:
                full.append((level, (self.size >> 8 * (level + 1)) - 1, list(tile)))
            node = root_of(tile)
            self.levels[level] = []
        return full

    def root(self):
        rest = []
        for tile in self.levels:
            nodes = tile + rest
            rest = [root_of(nodes)] if nodes else []
        return rest[0] if rest else root_of([])


# Keys and checkpoints.


class Wrong(Exception):
    """What verifying ends with: an exit code, a reason, and the first bad index and file if there is one."""

    def __init__(self, code, why, first_bad=None, bad_file=None):
        super().__init__(why)
        self.code, self.why, self.first_bad, self.bad_file = code, why, first_bad, bad_file


def decoded(text):
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Only one text stands for these bytes.
    return raw if base64.b64encode(raw).decode() == text else None


class Key:
    """The key of a log (signatures of type 1), or of a witness (cosignatures, type 4)."""

    def __init__(self, text, kind=1):
        self.text = text.strip()
        parts = self.text.split("+", 2)
        raw = decoded(parts[2]) if len(parts) == 3 else None
        if not raw or len(raw) != 33 or raw[0] != kind or not parts[0]:
            whose = "a log" if kind == 1 else "a witness"
            raise Wrong(USAGE, "the key is not NAME+HASH+KEY with an Ed25519 key of %s" % whose)
        self.name, self.public = parts[0], raw[1:]
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if self.hash.hex() != parts[1]:
            raise Wrong(USAGE, "the hash of the key does not fit the key")

    def open(self, note):
        """The size and the root that a signed checkpoint has."""
        text, separator, signatures = note.rpartition("\n\n")
        lines = text.split("\n")
        root = decoded(lines[2]) if len(lines) >= 3 else None
        if not separator or root is None or len(root) != 32 or "" in lines:
            raise Wrong(INCOMPLETE, "the checkpoint is not a signed checkpoint")
        is_number = lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 20
        if not is_number or str(int(lines[1])) != lines[1] or int(lines[1]) >= 2**63:
            raise Wrong(INCOMPLETE, "the checkpoint is not a signed checkpoint")
        if lines[0] != self.name:
            raise Wrong(TAMPERED, "the checkpoint is of another log")
        self.demand_signed(text + "\n", signatures, "checkpoint")
        return int(lines[1]), root

    def demand_signed(self, text, signatures, what):
        """That these lines sign the text by this key. Signatures by other keys are ignored."""
        if not signatures.endswith("\n"):
            raise Wrong(INCOMPLETE, "the %s is not a signed %s" % (what, what))
        for line in signatures[:-1].split("\n"):
            dash, _, rest = line.partition(" ")
            name, _, signed = rest.partition(" ")
            raw = decoded(signed)
            if dash != "\u2014" or raw is None or len(raw) < 4:
                raise Wrong(INCOMPLETE, "the %s is not a signed %s" % (what, what))
            if name == self.name and raw[:4] == self.hash:
                if is_signed(self.public, text.encode(), raw[4:]):
                    return
                raise Wrong(TAMPERED, "the signature of the %s is wrong" % what)
        raise Wrong(TAMPERED, "the %s is not signed by this key" % what)

    def confirmed_at(self, note):
        """When this witness confirmed a checkpoint (seconds since 1970); None when it did not, False when a line only claims it."""
        text, _, signatures = note.rpartition("\n\n")
        found = None
        for line in signatures.split("\n"):
            dash, _, rest = line.partition(" ")
            name, _, signed = rest.partition(" ")
            raw = decoded(signed)
            if dash != "\u2014" or name != self.name or raw is None or raw[:4] != self.hash:
                continue
            at = int.from_bytes(raw[4:12], "big")
            if is_signed(self.public, ("cosignature/v1\ntime %d\n%s\n" % (at, text)).encode(), raw[12:]):
                return at
            found = False
        return found


# The export.


def path_of(prefix, number, width):
    digits, number = "%03d" % (number % 1000), number // 1000
    while number > 0:
        digits, number = "x%03d/%s" % (number % 1000, digits), number // 1000
    return "%s/%s" % (prefix, digits) + ("" if width == WIDTH else ".p/%d" % width)


def width_of(level, number, size):
    return max(0, min(WIDTH, (size >> 8 * level) - number * WIDTH))


class Export:
    def __init__(self, folder, size):
        self.folder, self.size = folder, size

    def read(self, name):
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def tile(self, level, number):
        """The hashes of a tile; None when it is missing or has another length."""
        width = width_of(level, number, self.size)
        raw = self.read(path_of("tile/%d" % level, number, width))
        if raw is None or len(raw) != 32 * width:
            return None
        return [raw[at : at + 32] for at in range(0, len(raw), 32)]

    def entries(self, number):
        """The entries of a bundle, and why the rest cannot be read, if there is a rest."""
        raw = self.read(path_of("tile/entries", number, width_of(0, number, self.size)))
        if raw is None:
            return [], "the file is missing"
        entries, at = [], 0
        while at < len(raw):
            end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
            if at + 2 > len(raw) or end > len(raw):
                return entries, "the file is cut off"
            entries.append(raw[at + 2 : end])
            at = end
        return entries, None

    def bundles(self):
        return range((self.size + WIDTH - 1) // WIDTH)

    def surplus(self):
        """The name of a file that does not belong to the export."""
        expected = {path_of("tile/entries", number, width_of(0, number, self.size)) for number in self.bundles()}
        for level in range(LEVELS):
            for number in range(((self.size >> 8 * level) + WIDTH - 1) // WIDTH):
                expected.add(path_of("tile/%d" % level, number, width_of(level, number, self.size)))
        for folder, folders, files in os.walk(os.path.join(self.folder, "tile")):
            # A link to a folder is not followed, and does not belong here either.
            for name in files + [name for name in folders if os.path.islink(os.path.join(folder, name))]:
                found = os.path.relpath(os.path.join(folder, name), self.folder).replace(os.sep, "/")
                if found not in expected:
                    return found
        return None


class Trusted:
    """Tiles that hang together with the signed root."""

    def __init__(self, export, root):
        self.export, self.known = export, {}
        rest, whole = [], True
        for level in range(LEVELS):
            number = (export.size >> 8 * level) // WIDTH
            if width_of(level, number, export.size) > 0:
                tile = export.tile(level, number)
                if tile is None:
                    whole = False
                    break
                rest = [root_of(tile + rest)]
        self.edge = whole and rest == [root]

    def tile(self, level, number):
        known = self.known.get(level)
        if known and known[0] == number:
            return known[1]
        tile = self.export.tile(level, number)
        if tile is not None:
            if len(tile) == WIDTH:
                tile = tile if root_of(tile) == self.node(level + 1, number) else None
            elif not self.edge:
                tile = None
        self.known[level] = (number, tile)
        return tile

    def node(self, level, number):
        tile = self.tile(level, number // WIDTH)
        return tile[number % WIDTH] if tile and number % WIDTH < len(tile) else None


def first_bad(export, root, upto):
    """The first index, at most `upto`, whose entry is not the one that the signed root vouches for."""
    trusted = Trusted(export, root)
    for number in export.bundles():
        if number * WIDTH > upto:
            break
        tile = trusted.tile(0, number)
        node = trusted.node(1, number) if width_of(0, number, export.size) == WIDTH else None
        if tile is None and node is None:
            continue
        hashes = [leaf_hash(entry) for entry in export.entries(number)[0]]
        if tile is None:
            if node != root_of(hashes):
                return number * WIDTH
        elif tile != hashes:
            same = 0
            while same < min(len(tile), len(hashes)) and tile[same] == hashes[same]:
                same += 1
            return number * WIDTH + same
    return None


def walk(export, wanted):
    """Hashes all entries. Returns the roots at the wanted sizes, and three defects: of entries, of their hashes, and of tiles."""
    edge, roots, differs, tile_defect = Edge(), {}, None, None
    if 0 in wanted:
        roots[0] = edge.root()

    def compare(level, number, hashes):
        nonlocal tile_defect
        found = export.tile(level, number)
        if tile_defect is None and found != hashes:
            name = path_of("tile/%d" % level, number, len(hashes))
            at = number * WIDTH << 8 * level
            if found is None:
                tile_defect = Wrong(INCOMPLETE, name + " is missing, or has another length", at)
            else:
                tile_defect = Wrong(TAMPERED, name + " is not that of the entries", at)

    for number in export.bundles():
        width = width_of(0, number, export.size)
        entries, cut = export.entries(number)
        tile = export.tile(0, number)
        if tile is None and tile_defect is None:
            name = path_of("tile/0", number, width)
            tile_defect = Wrong(INCOMPLETE, name + " is missing, or has another length", number * WIDTH)
        full = []
        for place, entry in enumerate(entries[:width]):
            found = leaf_hash(entry)
            if differs is None and tile is not None and tile[place] != found:
                differs = edge.size
            full += edge.push(found)
            if edge.size in wanted:
                roots[edge.size] = edge.root()
        name, at = path_of("tile/entries", number, width), number * WIDTH + min(len(entries), width)
        if cut:
            return roots, Wrong(INCOMPLETE, "%s: %s" % (name, cut), at), differs, tile_defect
        if len(entries) != width:
            why = "too few" if len(entries) < width else "too many"
            return roots, Wrong(TAMPERED, "%s has %s entries" % (name, why), at), differs, tile_defect
        for level, place, hashes in full:
            compare(level, place, hashes)
    for level in range(1, LEVELS):
        if edge.levels[level]:
            compare(level, (export.size >> 8 * level) // WIDTH, edge.levels[level])
    return roots, None, differs, tile_defect


def confirmed(folder, key, witness):
    """The largest checkpoint of the export that the witness confirmed (size, root, and time), and whether a line only claims that."""
    names, newest, forged = ["checkpoint"], None, False
    if os.path.isdir(os.path.join(folder, "witnessed")):
        names += [os.path.join("witnessed", name) for name in sorted(os.listdir(os.path.join(folder, "witnessed")))]
    for name in names:
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            note = file.read().decode("utf-8", "replace")
        at = witness.confirmed_at(note)
        forged = forged or at is False
        if not at:
            continue
        try:
            size, root = key.open(note)
        except Wrong:
            continue
        if newest is None or size > newest[0]:
            newest = size, root, at
    return newest, forged


def verify(folder, key, against, witness=None):
    """Verifies an export; returns its size, and what the witness confirmed. `against` is a size and a root, or None."""
    if not os.path.isdir(folder):
        raise Wrong(INCOMPLETE, "there is no such folder")
    try:
        with open(os.path.join(folder, "checkpoint"), "rb") as file:
            note = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        raise Wrong(INCOMPLETE, "there is no checkpoint") from None
    size, root = key.open(note)
    export = Export(folder, size)
    outside, newest, forged = [], None, False
    if against:
        outside.append((against[0], against[1], "the checkpoint that it is compared with"))
    if witness:
        newest, forged = confirmed(folder, key, witness)
        if newest:
            outside.append((newest[0], newest[1], "the checkpoint that the witness confirmed"))
    roots, broken, differs, tile_defect = walk(export, {size} | {one[0] for one in outside})
    if roots.get(size) != root:
        # What comes after a place that cannot be read is not the first, whatever size is signed.
        first = first_bad(export, root, broken.first_bad if broken else size)
        if first is None:
            first = differs if differs is not None else broken.first_bad if broken else None
        if broken:
            raise Wrong(broken.code, broken.why, first)
        raise Wrong(TAMPERED, "the entries are not those that the checkpoint signs", first)
    if broken:
        raise broken
    if differs is not None:
        raise Wrong(TAMPERED, "the tile of this entry has another hash", differs)
    if tile_defect:
        raise tile_defect
    surplus = export.surplus()
    if surplus:
        raise Wrong(TAMPERED, surplus + " does not belong to the ledger that the checkpoint signs")
    beside = export.read("key")
    if beside is None:
        raise Wrong(INCOMPLETE, "the file with the public key is missing")
    if beside != (key.text + "\n").encode():
        raise Wrong(TAMPERED, "the public key beside the ledger is not the one that was given")
    for older, older_root, what in outside:
        if older > size:
            raise Wrong(FORKED, "the ledger has fewer entries than " + what, size)
        if roots.get(older) != older_root:
            raise Wrong(FORKED, "the ledger does not extend %s: its history was changed" % what)
    if witness and not newest:
        if forged:
            raise Wrong(TAMPERED, "a line claims to be the cosignature of the witness, and is not")
        raise Wrong(INCOMPLETE, "there is no cosignature of the witness")
    return size, newest


# Evidence packets: a tar archive (POSIX ustar) whose every byte counts.

SCHEMA = "causeway-evidence-packet/1"
BLOCK = 512
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


def header_of(path, length):
    """The header that packing writes for a file."""
    head = bytearray(BLOCK)

    def put(at, text):
        head[at : at + len(text)] = text

    put(0, path.encode())
    for at, text in ((100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (136, b"0" * 11), (148, b" " * 8)):
        put(at, text)
    put(124, b"%011o" % length)
    for at, text in ((156, b"0"), (257, b"ustar\x0000"), (329, b"0000000"), (337, b"0000000")):
        put(at, text)
    put(148, b"%06o\x00" % sum(head))
    return bytes(head)


def is_path(path):
    parts = path.split("/")
    return len(path) <= 100 and all(part not in ("", ".", "..") and set(part) <= PLAIN for part in parts)


def unpacked(raw):
    """The files of a packet: path and content, in their order."""
    files, at, last = [], 0, None
    while True:
        head = raw[at : at + BLOCK]
        if len(head) < BLOCK:
            raise Wrong(INCOMPLETE, "the packet is cut off", None, last)
        if head == bytes(BLOCK):
            rest = raw[at + BLOCK :]
            if len(rest) < BLOCK:
                raise Wrong(INCOMPLETE, "the packet is cut off", None, last)
            if rest != bytes(BLOCK):
                raise Wrong(TAMPERED, "the packet is not an archive as it is packed", None, last)
            return files
        try:
            path = head[:100].split(b"\x00")[0].decode("ascii")
            digits = head[124:135].decode("ascii")
            length = int(digits, 8) if digits.isdigit() else -1
        except ValueError:
            path, length = "", -1
        if length < 0 or not is_path(path) or header_of(path, length) != head:
            raise Wrong(TAMPERED, "the packet is not an archive as it is packed", None, last)
        at, last = at + BLOCK, path
        end = at + (length + BLOCK - 1) // BLOCK * BLOCK
        if end > len(raw):
            raise Wrong(INCOMPLETE, "the packet is cut off", None, path)
        if raw[at + length : end].strip(b"\x00"):
            raise Wrong(TAMPERED, "the packet is not an archive as it is packed", None, path)
        files.append((path, raw[at : at + length]))
        at = end


def text_in(path, content):
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Wrong(TAMPERED, "%s is not text" % path, None, path) from None


def manifest_of(files, key):
    """The manifest of a packet, if the key signed it."""
    if len(files) < 2:
        raise Wrong(INCOMPLETE, "the packet has no manifest", None, "manifest.json")
    for (path, _), expected in zip(files, ("manifest.json", "manifest.note")):
        if path != expected:
            raise Wrong(TAMPERED, "%s stands in the place of %s" % (path, expected), None, path)
    note = text_in("manifest.note", files[1][1])
    text, _, signatures = note.rpartition("\n\n")
    digest = base64.b64encode(hashlib.sha256(files[0][1]).digest()).decode()
    lines = text.split("\n")
    why = None
    if lines[0] != SCHEMA or signatures.count("\n") != 1:
        why = "the signature of the manifest does not read"
    elif lines[1:2] != [key.name]:
        why = "the packet is of another log"
    elif lines != [SCHEMA, key.name, digest]:
        why = "the signature of the manifest is wrong"
    if why:
        raise Wrong(TAMPERED, why, None, "manifest.note")
    try:
        key.demand_signed(text + "\n", signatures, "manifest")
    except Wrong as wrong:
        raise Wrong(TAMPERED, wrong.why, None, "manifest.note") from None
    try:
        manifest = json.loads(files[0][1])
        if manifest["schema"] == SCHEMA:
            return manifest
    except (ValueError, KeyError, TypeError):
        pass
    raise Wrong(INCOMPLETE, "the manifest is of a form that is not known here", None, "manifest.json")


def demand_files(expected, files):
    """That a packet has exactly the files of its manifest, in their order."""
    for told, (path, content) in zip(expected, files):
        if told["path"] != path:
            raise Wrong(TAMPERED, "%s stands in the place of %s" % (path, told["path"]), None, path)
        if told["bytes"] != len(content) or told["sha256"] != hashlib.sha256(content).hexdigest():
            raise Wrong(TAMPERED, "%s is not the file that was signed" % path, None, path)
    if len(expected) > len(files):
        missing = expected[len(files)]["path"]
        raise Wrong(INCOMPLETE, "%s is missing" % missing, None, missing)
    if len(files) > len(expected):
        more = files[len(expected)][0]
        raise Wrong(TAMPERED, "%s is not in the manifest" % more, None, more)


def includes(root, size, index, leaf, path):
    """Whether the path proves that the tree has this leaf (RFC 9162, section 2.1.3.2)."""
    if index >= size:
        return False
    node, last, found = index, size - 1, leaf
    for other in path:
        if last == 0:
            return False
        if node % 2 == 1 or node == last:
            found = hashlib.sha256(b"\x01" + other + found).digest()
            while node % 2 == 0 and node != 0:
                node, last = node // 2, last // 2
        else:
            found = hashlib.sha256(b"\x01" + found + other).digest()
        node, last = node // 2, last // 2
    return last == 0 and found == root


def proof_of(text):
    """Index, path and checkpoint of a C2SP tlog-proof, or None."""
    own, separator, checkpoint = text.partition("\n\n")
    lines = own.split("\n")
    if not separator or len(lines) < 2 or lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("index "):
        return None
    number = lines[1][len("index ") :]
    path = [decoded(line) for line in lines[2:]]
    is_number = number.isascii() and number.isdigit() and str(int(number)) == number
    if not is_number or any(one is None or len(one) != 32 for one in path):
        return None
    return int(number), path, checkpoint


def proved(files, size, root, note):
    """The entries of a packet by their indexes, if each is proved and no proof is left."""
    contents = dict(files)
    if "entries.jsonl" not in contents:
        raise Wrong(INCOMPLETE, "entries.jsonl is missing", None, "entries.jsonl")
    lines = contents["entries.jsonl"].split(b"\n")
    if lines.pop() != b"":
        raise Wrong(INCOMPLETE, "the last entry is cut off", None, "entries.jsonl")
    proofs = [(path, content) for path, content in files if path.startswith("proofs/")]
    last, found = -1, {}
    for place, line in enumerate(lines):
        if place >= len(proofs):
            raise Wrong(INCOMPLETE, "entry %d of the packet has no proof" % (place + 1), None, "entries.jsonl")
        path, content = proofs[place]
        read = proof_of(text_in(path, content))
        if read is None:
            raise Wrong(TAMPERED, "%s: it is no proof" % path, None, path)
        index, hashes, checkpoint = read
        if path != "proofs/%d.tlog-proof" % index or index <= last:
            raise Wrong(TAMPERED, "%s: its index is not in its place" % path, index, path)
        if checkpoint != note:
            raise Wrong(TAMPERED, "%s: it is a proof for another checkpoint" % path, index, path)
        if not includes(root, size, index, leaf_hash(line), hashes):
            why = "%s: the ledger does not have this entry in this place" % path
            raise Wrong(TAMPERED, why, index, path)
        last, found[index] = index, line
    if len(proofs) > len(lines):
        more = proofs[len(lines)][0]
        raise Wrong(TAMPERED, "%s proves no entry of the packet" % more, None, more)
    return found


OPENED = "opened.jsonl"
OPENED_KEYS = {"index", "field", "salt", "value"}
PLACES = {
    "object": ("object", "id_commit"),
    "correlation": ("correlation_commit",),
    "operator": ("operator_commit",),
    "note": ("note_commit",),
}


SALT = re.compile("[0-9a-f]{64}")


def once(pairs):
    """The members of an object, each of which stands in it once."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands in an object twice")
    return members


def whole(digits):
    """A number without a sign."""
    if digits.startswith("-") or int(digits) >= 1 << 64:
        raise ValueError("no index")
    return int(digits)


def is_text(value):
    """Whether this is a text that UTF-8 can write."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def is_committed(entry, opened):
    """Whether an entry has the commitment to a value that was opened."""
    if not SALT.fullmatch(opened["salt"]):
        return False
    try:
        place, salt = json.loads(entry), bytes.fromhex(opened["salt"])
        whole = b"px-audit-v1" + opened["field"].encode() + salt + opened["value"].encode()
    except ValueError:
        return False
    for key in PLACES.get(opened["field"], ("no commitment",)):
        place = place.get(key) if isinstance(place, dict) else None
    return place == hashlib.sha256(whole).hexdigest()


def demand_opened(expected, contents, entries):
    """That each value that a packet opens is the one to which its entry is committed. `expected` is how many the manifest says, or None."""

    def wrong(why, index=None):
        return Wrong(TAMPERED, why, index, OPENED)

    if expected is None:
        if OPENED in contents:
            raise wrong("the manifest does not say that values are opened")
        return
    if OPENED not in contents:
        raise Wrong(INCOMPLETE, "%s is missing" % OPENED, None, OPENED)
    lines = text_in(OPENED, contents[OPENED]).split("\n")
    if lines.pop() != "":
        raise wrong("the last opened value is cut off")
    if len(lines) != expected:
        raise wrong("the packet has another number of opened values than its manifest says")
    for line in lines:
        try:
            opened = json.loads(line, object_pairs_hook=once, parse_int=whole)
        except ValueError:
            opened = None
        is_whole = isinstance(opened, dict) and set(opened) == OPENED_KEYS and type(opened["index"]) is int
        if not is_whole or any(not is_text(opened[key]) for key in OPENED_KEYS - {"index"}):
            raise wrong("an opened value does not read")
        if opened["index"] not in entries:
            raise wrong("a value is opened of an entry that the packet does not have", opened["index"])
        if not is_committed(entries[opened["index"]], opened):
            raise wrong("the entry is committed to another value than the packet opens", opened["index"])


def verify_packet(file, key, against, witness=None):
    """Verifies a packet; returns how many entries it has, what the witness confirmed, and how many files it has. `against` is a size and a root, or None."""
    with open(file, "rb") as packet:
        files = unpacked(packet.read())
    manifest, files = manifest_of(files, key), files[2:]
    demand_files(manifest["files"], files)
    contents = dict(files)
    if "checkpoint" not in contents:
        raise Wrong(INCOMPLETE, "checkpoint is missing", None, "checkpoint")
    note = text_in("checkpoint", contents["checkpoint"])
    try:
        size, root = key.open(note)
    except Wrong as wrong:
        raise Wrong(TAMPERED, wrong.why, None, "checkpoint") from None
    if manifest["checkpoint"] != {"size": size, "root": root.hex()} or manifest["origin"] != key.name:
        why = "the manifest names another checkpoint than the packet has"
        raise Wrong(TAMPERED, why, None, "manifest.json")
    by_index = proved(files, size, root, note)
    entries = len(by_index)
    if entries != manifest["entries"]:
        why = "the packet has another number of entries than its manifest says"
        raise Wrong(TAMPERED, why, None, "entries.jsonl")
    demand_opened(manifest.get("opened"), contents, by_index)
    if against and against[0] != size:
        why = "the kept checkpoint covers %d entries, and that of the packet %d: only an export can show that one extends the other"
        raise Wrong(INCOMPLETE, why % (against[0], size), None, "checkpoint")
    if against and against[1] != root:
        why = "the checkpoint that it is compared with has another root: the ledger has two histories"
        raise Wrong(FORKED, why, None, "checkpoint")
    if not witness:
        return entries, None, len(files)
    at = witness.confirmed_at(note)
    if at is False:
        why = "a line claims to be the cosignature of the witness, and is not"
        raise Wrong(TAMPERED, why, None, "checkpoint")
    if at is None:
        raise Wrong(INCOMPLETE, "there is no cosignature of the witness", None, "checkpoint")
    return entries, (size, root, at), len(files)


def text_of(path, code):
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError:
        raise Wrong(code, "%s is not text" % path) from None
    except OSError as error:
        raise Wrong(code, "%s cannot be read: %s" % (path, error.strerror)) from None


def checked(arguments):
    key = Key(arguments.key if arguments.key.count("+") >= 2 else text_of(arguments.key, INCOMPLETE))
    against = None
    if arguments.against:
        try:
            against = key.open(text_of(arguments.against, INCOMPLETE))
        except Wrong as wrong:
            raise Wrong(USAGE if wrong.code == TAMPERED else wrong.code, "--against: " + wrong.why) from None
    witness = None
    if arguments.witness:
        given = arguments.witness
        witness = Key(given if given.count("+") >= 2 else text_of(given, INCOMPLETE), kind=4)
    if os.path.isfile(arguments.folder):
        return verify_packet(arguments.folder, key, against, witness)
    return verify(arguments.folder, key, against, witness)


class Usage(Exception):
    """Wrong arguments on a line of a batch."""


class LineParser(argparse.ArgumentParser):
    def error(self, message):
        raise Usage(message)


def parser_of(kind):
    parser = kind(description="Verifies an exported ledger of Causeway, or an evidence packet.")
    parser.add_argument("folder", metavar="DIR|PACKET")
    parser.add_argument("--key", required=True, help="the public key of the log, or a file that holds it")
    parser.add_argument("--against", metavar="CHECKPOINT", help="a checkpoint of this log that was kept elsewhere")
    parser.add_argument("--witness", metavar="KEY", help="the public key of a witness, or a file that holds it")
    parser.add_argument("--json", action="store_true")
    return parser


def told_of(arguments):
    """The exit code, and what to tell."""
    try:
        found = checked(arguments)
        entries, newest = found[:2]
        told = {"result": "ok", "entries": entries, "witnessed": None, "witnessed_at": None}
        if len(found) > 2:
            told["files"] = found[2]
        if newest:
            at = time.gmtime(min(newest[2], LATEST))
            told.update(witnessed=newest[0], witnessed_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", at))
        return OK, told
    except OSError as error:
        why = "%s cannot be read: %s" % (error.filename, error.strerror)
        return INCOMPLETE, {"result": NAMES[INCOMPLETE], "first_bad": None, "why": why}
    except Wrong as wrong:
        told = {"result": NAMES.get(wrong.code, "usage"), "first_bad": wrong.first_bad, "why": wrong.why}
        if wrong.bad_file is not None:
            told["bad_file"] = wrong.bad_file
        return wrong.code, told


def batch():
    """Verifies an export for each line of standard input; the exit code is the largest of theirs."""
    parser, worst = parser_of(LineParser), OK
    for line in sys.stdin:
        try:
            code, told = told_of(parser.parse_args(shlex.split(line)))
        except (Usage, ValueError) as error:
            code, told = USAGE, {"result": "usage", "first_bad": None, "why": str(error)}
        worst = max(worst, code)
        print(json.dumps({"exit": code, **told}), flush=True)
    return worst


def main():
    sys.stdout.reconfigure(errors="backslashreplace")
    if sys.argv[1:] == ["--batch"]:
        return batch()
    arguments = parser_of(argparse.ArgumentParser).parse_args()
    code, told = told_of(arguments)
    if arguments.json:
        print(json.dumps(told))
    elif code == OK:
        packed = "%d files and " % told["files"] if "files" in told else ""
        print("ok: %s%d entries are as they were signed" % (packed, told["entries"]))
        if told["witnessed"] is not None:
            rest = told["entries"] - told["witnessed"]
            if "files" in told:
                print("the witness confirmed its checkpoint of %d entries at %s" % (told["witnessed"], told["witnessed_at"]))
                return code
            figures = (told["witnessed"], told["witnessed_at"], rest)
            print("the witness confirmed the first %d of them at %s, and not yet the last %d" % figures)
    else:
        bad = "; the first bad file is %s" % told["bad_file"] if "bad_file" in told else ""
        bad += "" if told["first_bad"] is None else "; the first bad index is %d" % told["first_bad"]
        print("%s: %s%s" % (told["result"].upper(), told["why"], bad))
    return code


if __name__ == "__main__":
    sys.exit(main())
