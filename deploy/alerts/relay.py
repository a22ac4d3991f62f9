#!/usr/bin/env python3
"""Takes messages about alerts from Causeway, checks who sent them and when, and posts them to a chat tool or a pager.

    deploy/alerts/relay.py --secret-file chat.key --kind slack --url-file chat.url

It listens on this machine only. The secret is the one of the receiver in Causeway's file of receivers. The file of the URL has the webhook of the
chat tool, which is a secret too; with `--kind pagerduty` it has the routing key instead. Python's standard library is enough.
"""

import argparse
import hashlib
import hmac
import http.client
import json
import threading
import time
import urllib.request
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGER = "https://events.pagerduty.com/v2/enqueue"
OLD_S = 300
BODY_BYTES = 65_536
POST_S = 6
KEPT = 10_000


def is_signed(secret, header, body, now_s):
    """Whether the header has the HMAC of time and body under this secret, and the time is about now."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    time_s, mac = parts.get("t", ""), parts.get("v1", "")
    if not (time_s.isascii() and time_s.isdigit() and len(time_s) <= 12 and mac.isascii()):
        return False
    wanted = hmac.new(secret, time_s.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, mac) and abs(now_s - int(time_s)) <= OLD_S


def line(message):
    """What people read. All of it comes from Causeway: codes, ids, counts and its own texts."""
    if message["event"] == "clear":
        return f"CLEAR {message['alert']} (since {message['began_at']}, until {message['cleared_at']}) at {message['source']}"
    partners = f", partners: {', '.join(message['partners'])}" if message["partners"] else ""
    return (
        f"{message['severity'].upper()} {message['alert']} for the {message['owner']}, to act within: {message['within']}. "
        f"{message['meaning']} Count: {message['count']}{partners}. At {message['source']}; see: causeway runbook {message['alert']}"
    )


def slack(message):
    """Slack, Mattermost and Rocket.Chat, which read three characters as markup."""
    return {"text": line(message).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def discord(message):
    """Discord; nobody is mentioned."""
    return {"content": line(message)[:2000], "allowed_mentions": {"parse": []}}


def teams(message):
    """A workflow of Microsoft Teams that posts a card."""
    text = {"type": "TextBlock", "wrap": True, "text": line(message)}
    card = {"type": "AdaptiveCard", "version": "1.4", "body": [text]}
    return {"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}]}


def pagerduty(message, key):
    """Events of PagerDuty: an end resolves what its beginning triggered."""
    event = {"routing_key": key, "dedup_key": message["episode"], "event_action": "resolve"}
    if message["event"] == "begin":
        severity = "critical" if message["severity"] == "page" else "warning"
        event["event_action"] = "trigger"
        event["payload"] = {"summary": line(message)[:1024], "source": message["source"], "severity": severity}
    return event


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Relay(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, given):
        super().__init__(("127.0.0.1", given.port), Handler)
        self.secret = given.secret_file.read_text(encoding="utf-8").strip().encode()
        self.target = given.url_file.read_text(encoding="utf-8").strip()
        self.kind = given.kind
        self.opener = urllib.request.build_opener(NoRedirect)
        self.told = OrderedDict()
        self.lock = threading.Lock()

    def post(self, message):
        """Posts a message once. Raises OSError when the other side did not take it."""
        with self.lock:
            if message["id"] in self.told:
                return
            if self.kind == "pagerduty":
                url, body = PAGER, pagerduty(message, self.target)
            else:
                url, body = self.target, {"slack": slack, "discord": discord, "teams": teams}[self.kind](message)
            request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with self.opener.open(request, timeout=POST_S):
                pass
            self.told[message["id"]] = None
            while len(self.told) > KEPT:
                self.told.popitem(last=False)


class Handler(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not (length.isdigit() and int(length) <= BODY_BYTES):
            return self.answer(413)
        body = self.rfile.read(int(length))
        if not is_signed(self.server.secret, self.headers.get("X-Causeway-Signature", ""), body, time.time()):
            return self.answer(401)
        try:
            self.server.post(json.loads(body))
        except (ValueError, KeyError, TypeError):
            return self.answer(400)
        except (OSError, http.client.HTTPException):
            # Causeway sends it again.
            return self.answer(502)
        return self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *arguments):
        """Says nothing: the answers are in the log of Causeway."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secret-file", type=Path, required=True)
    parser.add_argument("--url-file", type=Path, required=True)
    parser.add_argument("--kind", choices=["slack", "discord", "teams", "pagerduty"], required=True)
    parser.add_argument("--port", type=int, default=9700)
    relay = Relay(parser.parse_args())
    print(f"http://127.0.0.1:{relay.server_address[1]}/", flush=True)
    relay.serve_forever()


if __name__ == "__main__":
    main()
