"""What a Causeway payer holds of another payer's records, read out of its SQLite store: the resources, and the bodies as they came.

The bodies are opened with the file of keys, by another AES than the server's own (src/security/vault.rs says how they are sealed).
"""

import base64
import hashlib
import hmac
import json
import sqlite3

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def parsed(text):
    """JSON whose decimals keep their digits."""
    return json.loads(text, parse_float=str)


class Received:
    """One exchange."""

    def __init__(self, payer, exchange):
        self.exchange = exchange
        self.db = sqlite3.connect(f"file:{payer.store}?mode=ro", uri=True)
        lines = (payer.store.parent / "received.keys").read_text().split("\n")
        keys = dict(line.split(" ", 1) for line in lines if line)
        named = self.db.execute("SELECT key_id FROM ingest WHERE exchange_id = ?", (exchange,)).fetchone()[0]
        key = base64.urlsafe_b64decode(keys[named] + "=" * (-len(keys[named]) % 4))
        self.key = AESGCM(hmac.new(key, f"received/1/{exchange}".encode(), hashlib.sha256).digest())

    def bodies(self):
        """The bodies as they came, by page."""
        found = {}
        for page, size, digest in self.db.execute("SELECT page, bytes, sha256 FROM ingest_page WHERE exchange_id = ?", (self.exchange,)):
            pieces = self.db.execute("SELECT piece, sealed FROM ingest_piece WHERE exchange_id = ? AND page = ? ORDER BY piece", (self.exchange, page))
            body = b"".join(self.key.decrypt(sealed[:12], sealed[12:], f"body/{page}/{piece}".encode()) for piece, sealed in pieces)
            assert len(body) == size and hashlib.sha256(body).digest() == digest, f"body {page} is not as it came"
            found[page] = body
        return found

    def rows(self):
        """What came, each with its type and id here, what became of it and why, and how it came; then what was made for it."""
        bodies = self.bodies()
        rows = self.db.execute("SELECT page, entry, start, length, type, id, outcome, reason FROM ingest_resource WHERE exchange_id = ? "
                               "ORDER BY page, entry", (self.exchange,))
        return [dict(type=kind, id=name, outcome=outcome, reason=reason,
                     original=parsed(bodies[page][start:start + length]) if page else None)
                for page, entry, start, length, kind, name, outcome, reason in rows]

    def stored(self, kind, name):
        """A resource as it is stored."""
        row = self.db.execute("SELECT body FROM resource WHERE type = ? AND id = ?", (kind, name)).fetchone()
        return row and parsed(row[0])


def everything(payer):
    """All resources of a store with their versions: what a run that changes nothing leaves as it was."""
    db = sqlite3.connect(f"file:{payer.store}?mode=ro", uri=True)
    return set(db.execute("SELECT type, id, version, sha256 FROM resource"))
