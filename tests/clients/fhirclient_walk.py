"""Everything a partner may have, with SMART's fhirclient: it parses each answer into typed R4 models and refuses what does not fit.

The library fetches its own token. Paging, reading, references and includes are its own too; what is compared here is that they agree.
"""
import argparse
import json
import pathlib

from fhirclient import client as smart_client
from fhirclient.auth import FHIROAuth2Auth
from fhirclient.models import bundle, parameters
from fhirclient.models.fhirelementfactory import FHIRElementFactory
from fhirclient.models.fhirsearch import FHIRSearch, FHIRSearchParam
from fhirclient._utils import iter_pages
from fhirclient.server import FHIRNotFoundException

import smart

# What all members share: readable by every partner, whether it comes with a record or not.
SHARED = {"Organization", "Practitioner", "PractitionerRole", "Location", "Medication", "Endpoint"}

parser = argparse.ArgumentParser()
parser.add_argument("--base", required=True)
parser.add_argument("--keys", required=True)
parser.add_argument("--match", required=True)
options = parser.parse_args()


def connect(scope):
    """A client of the library with a token for `scope`.

    It knows token endpoints from SMART 1.0's extension of the CapabilityStatement alone. That extension demands an authorization
    endpoint as well, which a payer's server has not; so it is told where the endpoint of `.well-known/smart-configuration` is.
    """
    connected = smart_client.FHIRClient(settings={"app_id": "new-payer", "api_base": options.base, "scope": scope})
    tls, session = smart.tls(options.keys), connected.server.session
    # Or a machine's own bundle of certificates would go before ours.
    session.trust_env = False
    session.cert, session.verify = tls["cert"], tls["verify"]
    connected.server.get_capability()
    endpoint = smart.token_endpoint(options.base, options.keys)
    connected.server.auth = FHIROAuth2Auth(state={"app_id": "new-payer"})
    connected.server.auth._token_uri = endpoint
    connected.server.auth.jwt_token = smart.assertion(endpoint, options.keys)
    connected.server.authorize()
    assert connected.server.ready
    return connected.server


def typed(kind):
    return type(FHIRElementFactory.instantiate(kind, None))


def name(resource):
    return f"{resource.resource_type}/{resource.id}"


def all_pages(first, server):
    """Every entry of a Bundle and of those that its next links lead to; each page has its self link, none comes twice."""
    entries, seen = [], set()
    for page in iter_pages(first, server):
        links = {link.relation: link.url for link in page.link}
        assert "self" in links, "a page without its self link"
        assert links.get("next") not in seen, "a next link that goes round"
        seen.add(links.get("next"))
        entries.extend(page.entry or [])
    return entries


def search(server, kind, **wanted):
    found = FHIRSearch(typed(kind))
    found.params = [FHIRSearchParam(parameter, value) for parameter, value in wanted.items()]
    return all_pages(bundle.Bundle.read_from(found.construct(), server), server)


def names(entries, mode="match"):
    listed = [name(entry.resource) for entry in entries if entry.search is None or entry.search.mode == mode]
    assert len(listed) == len(set(listed)), "a resource that comes twice"
    return set(listed)


def references(value):
    """Every literal reference in a resource, but those to what it contains."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str) and not value["reference"].startswith("#"):
            yield value["reference"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


matcher = connect(smart.MEMBER_MATCH)
answer = matcher.post_json("Patient/$member-match", json.loads(pathlib.Path(options.match).read_text())).json()
matched = {parameter.name: parameter for parameter in parameters.Parameters(answer).parameter}
patient = matched["MemberId"].valueReference.reference
member = patient.split("/")[1]

server = connect("system/*.rs")
rest = server.capabilityStatement.rest[0]
declared = {resource.type: resource for resource in rest.resource}
codes = {kind: {interaction.code for interaction in resource.interaction or []} for kind, resource in declared.items()}
record = all_pages(bundle.Bundle.read_from(f"{patient}/$everything?_count=7", server), server)
whole = all_pages(bundle.Bundle.read_from(f"{patient}/$everything", server), server)
assert names(record) == names(whole) and record, "paged and whole records differ"
resources = {name(entry.resource): entry.resource for entry in whole}
kinds = {resource.resource_type for resource in resources.values()}
print("everything:", len(whole), "resources of", len(kinds), "types, paged and whole alike")

ours = {one for one in resources if one.startswith("Provenance/tx.")}
assert len(ours) == 1, "the server names itself as transmitter once"
searched, read, followed, included = 0, 0, 0, 0
for kind in sorted(kinds):
    assert {"read", "search-type"} <= codes.get(kind, set()), f"{kind} is in the record, but not declared"
    of_record = {one for one in resources if one.startswith(f"{kind}/")} - ours
    if not of_record:
        continue
    by = {parameter.name for parameter in declared[kind].searchParam or []}
    if "patient" in by:
        assert names(search(server, kind, patient=member, _count="3")) == of_record, f"{kind}?patient= and $everything differ"
        assert names(search(server, kind, patient=patient)) == of_record, f"{kind}?patient=Patient/… and $everything differ"
        searched += len(of_record)
    else:
        assert of_record <= names(search(server, kind, _id=",".join(sorted(one.split("/")[1] for one in of_record)))), f"{kind}?_id="
        searched += len(of_record)

for one, resource in resources.items():
    again = typed(resource.resource_type).read(resource.id, server)
    assert again.as_json() == resource.as_json(), f"{one} reads differently"
    read += 1
    for reference in set(references(resource.as_json())):
        target = reference.split("/_history/")[0]
        if target in resources or target.split("/")[0] in SHARED:
            assert name(typed(target.split("/")[0]).read(target.split("/")[1], server)) == target
            followed += 1
            continue
        try:
            server.request_json(target)
        except FHIRNotFoundException:
            continue
        raise AssertionError(f"{one} refers to {target}, which can be read but is not in the record")

provenances = {one for one in resources if one.startswith("Provenance/")} - ours
for kind in sorted(kinds):
    for parameter in declared[kind].searchInclude or []:
        entries = search(server, kind, patient=member, _include=parameter) if kind != "Patient" else search(server, kind, _id=member, _include=parameter)
        targets = {target for entry in entries if entry.search.mode == "match" for target in references(entry.resource.as_json())}
        for entry in entries:
            if entry.search.mode == "include":
                one = name(entry.resource)
                assert one in targets, f"{one} is included by {parameter}, but nothing refers to it"
                assert one in resources or entry.resource.resource_type in SHARED, f"{one} is neither shared nor in the record"
                included += 1
    if "Provenance:target" in (declared[kind].searchRevInclude or []):
        entries = search(server, kind, _revinclude="Provenance:target", **({"_id": member} if kind == "Patient" else {"patient": member}))
        # A type that is not of a member is not searched by one, and the answer says so.
        entries = [entry for entry in entries if entry.search.mode != "outcome"]
        pages = [entry for entry in entries if entry.fullUrl.startswith("urn:uuid:")]
        assert all(entry.resource.agent[0].type.coding[0].code == "transmitter" for entry in pages), "only the transmitter is not stored"
        assert pages or kind == "Provenance", f"{kind}: no transmitter"
        entries = [entry for entry in entries if entry not in pages]
        about = names(entries)
        wanted = {one for one in provenances if about & set(references(resources[one].as_json()["target"]))}
        assert names(entries, "include") == wanted, f"{kind} with its Provenance"
        included += len(wanted)

assert read == len(resources) and searched >= len(resources) - len(ours) and followed > 0 and included > 0, (read, searched, followed, included)
print(f"searched {searched}, read {read}, followed {followed} references, {included} by include")
