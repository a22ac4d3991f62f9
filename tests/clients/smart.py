"""A partner's token, by SMART Backend Services over mutual TLS. Keys are the files that `causeway demo` leaves."""
import json
import pathlib
import time
import uuid

import jwt
import requests

MEMBER_MATCH = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match"


def tls(keys):
    """How `requests` (and so fhirpy) presents the partner's certificate and trusts the payer's."""
    keys = pathlib.Path(keys)
    return {"cert": (str(keys / "partner.pem"), str(keys / "partner.key")), "verify": str(keys / "ca.pem"), "timeout": 180}


def token_endpoint(base, keys):
    """Where the payer says that tokens are to be had."""
    discovered = requests.get(f"{base}/.well-known/smart-configuration", **tls(keys))
    discovered.raise_for_status()
    return discovered.json()["token_endpoint"]


def assertion(endpoint, keys, client_id="new-payer"):
    """Who we are, signed (RFC 7523, as SMART Backend Services profiles it); good for one request."""
    key = json.loads((pathlib.Path(keys) / "partner-jwks.json").read_text())["keys"][0]
    claims = {"iss": client_id, "sub": client_id, "aud": endpoint, "exp": int(time.time()) + 240, "jti": str(uuid.uuid4())}
    algorithm = key.get("alg", "ES384")
    return jwt.encode(claims, jwt.PyJWK(key, algorithm).key, algorithm=algorithm, headers={"kid": key["kid"]})


def token(base, keys, scope, client_id="new-payer"):
    """Discovers the token endpoint, proves who we are, and returns an access token."""
    endpoint = token_endpoint(base, keys)
    answer = requests.post(
        endpoint,
        data={
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion(endpoint, keys, client_id),
        },
        **tls(keys),
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"].lower() == "bearer", answer.text
    return answer.json()["access_token"]
