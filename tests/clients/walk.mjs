// Everything a partner may have, with fhir-kit-client: token, match, the paged record, every search by GET and by POST, every read,
// every reference. What is compared is that all ways give the same resources, byte for byte as parsed.
import assert from 'node:assert/strict';
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'fhir-kit-client';
import { Agent, setGlobalDispatcher } from 'undici';

const { values: options } = parseArgs({
  options: { base: { type: 'string' }, keys: { type: 'string' }, match: { type: 'string' } },
});
const file = (name) => readFileSync(join(options.keys, name));
// The library's requests, and ours, present the partner's certificate and trust the payer's.
setGlobalDispatcher(
  new Agent({ connect: { timeout: 120_000, cert: file('partner.pem'), key: file('partner.key'), ca: file('ca.pem') } }),
);

const MEMBER_MATCH = 'http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match';
const PAGES_MAX = 1000;
// What all members share: readable by every partner, whether it comes with a record or not.
const SHARED = new Set(['Organization', 'Practitioner', 'PractitionerRole', 'Location', 'Medication', 'Endpoint']);

// SMART Backend Services: a signed assertion for a token.
async function connect(scope) {
  const client = new Client({ baseUrl: options.base });
  // Not by smartAuthMetadata(): it takes whatever answers first, and a CapabilityStatement need not name the endpoint.
  const { token_endpoint: tokenUrl } = await client.request('.well-known/smart-configuration');
  const jwk = JSON.parse(file('partner-jwks.json')).keys[0];
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: 'new-payer', sub: 'new-payer', aud: tokenUrl, exp: now + 240, jti: randomUUID() };
  const unsigned = `${part({ alg: 'ES384', typ: 'JWT', kid: jwk.kid })}.${part(claims)}`;
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const signature = sign('sha384', Buffer.from(unsigned), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  const answer = await fetch(tokenUrl, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: `${unsigned}.${signature}`,
    }),
  });
  const token = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(token));
  client.bearerToken = token.access_token;
  return client;
}

// The Bundle's entries and those of every page behind it.
async function allEntries(client, first) {
  const entries = [];
  const seen = new Set();
  for (let page = first; page; page = await client.nextPage({ bundle: page })) {
    assert.equal(page.resourceType, 'Bundle');
    assert.equal(page.type, 'searchset');
    assert.ok(page.link.some((link) => link.relation === 'self'), 'a page has its self link');
    const next = page.link.find((link) => link.relation === 'next')?.url;
    assert.ok(!next || !seen.has(next), 'a next link does not go round');
    seen.add(next);
    assert.ok(seen.size < PAGES_MAX, 'the pages end');
    entries.push(...(page.entry ?? []));
  }
  return entries;
}

const nameOf = (resource) => `${resource.resourceType}/${resource.id}`;

// The resources found, by name; none may come twice.
function found(entries, mode = 'match') {
  const resources = new Map();
  for (const { fullUrl, resource, search } of entries.filter((entry) => (entry.search?.mode ?? 'match') === mode)) {
    const name = nameOf(resource);
    assert.ok(!resources.has(name), `${name} comes once`);
    // The Provenance by which the payer says that it transmits a page is about this page only, and is kept nowhere.
    const isOfPage = mode === 'include' && resource.resourceType === 'Provenance' && fullUrl === `urn:uuid:${resource.id}`;
    assert.ok(isOfPage || fullUrl === `${options.base}/${name}`, fullUrl);
    resources.set(name, resource);
  }
  return resources;
}

function* references(value) {
  if (Array.isArray(value)) {
    for (const part of value) yield* references(part);
  } else if (value && typeof value === 'object') {
    if (typeof value.reference === 'string' && !value.reference.startsWith('#')) yield value.reference;
    for (const part of Object.values(value)) yield* references(part);
  }
}

async function refused(promise, status) {
  const error = await promise.then(() => assert.fail(`should have been ${status}`), (error) => error);
  assert.equal(error.response?.status, status, error.message);
  assert.equal(error.response.data.resourceType, 'OperationOutcome');
}

const matcher = await connect(MEMBER_MATCH);
const answer = await matcher.operation({
  name: 'member-match', resourceType: 'Patient', input: JSON.parse(readFileSync(options.match)),
});
const patient = answer.parameter.find((parameter) => parameter.name === 'MemberId').valueReference.reference;
const member = patient.split('/')[1];

const client = await connect('system/*.rs');
const everything = (input) => client.operation({ name: 'everything', resourceType: 'Patient', id: member, method: 'GET', input });
const record = found(await allEntries(client, await everything()));
for (const count of [1, 7, 1000]) {
  assert.deepEqual(found(await allEntries(client, await everything({ _count: count }))), record, `pages of ${count}`);
}
const posted = await client.operation({
  name: 'everything', resourceType: 'Patient', id: member,
  input: { resourceType: 'Parameters', parameter: [{ name: '_count', valueInteger: 11 }] },
});
assert.deepEqual(found(await allEntries(client, posted)), record, 'POST $everything');
const types = [...new Set([...record.values()].map((resource) => resource.resourceType))].sort();
console.log(`everything: ${record.size} resources of ${types.length} types`);

const statement = await client.capabilityStatement();
const declared = new Map(statement.rest[0].resource.map((resource) => [resource.type, resource]));
const may = (type, code) => declared.get(type)?.interaction?.some((interaction) => interaction.code === code);
const takes = (type, name) => declared.get(type)?.searchParam?.some((parameter) => parameter.name === name);
const counts = { searched: 0, read: 0, followed: 0, included: 0 };

for (const type of types) {
  assert.ok(may(type, 'read') && may(type, 'search-type'), `${type} is in the record, so it can be read and searched`);
  // The record of who transmits is read by its id; searches find what is stored.
  const wanted = new Map([...record].filter(([name]) => name.startsWith(`${type}/`) && !name.startsWith('Provenance/tx.')));
  if (wanted.size === 0) continue;
  const ids = [...wanted.values()].map((resource) => resource.id).join(',');
  const searchParams = takes(type, 'patient') ? { patient } : { _id: ids };
  const byGet = await client.search({ resourceType: type, searchParams: { ...searchParams, _count: 3 } });
  assert.deepEqual(found(await allEntries(client, byGet)), wanted, `GET ${type}`);
  const byPost = await client.search({ resourceType: type, searchParams: { ...searchParams, _count: 4 }, options: { postSearch: true } });
  assert.deepEqual(found(await allEntries(client, byPost)), wanted, `POST ${type}/_search`);
  const counted = await client.search({ resourceType: type, searchParams: { ...searchParams, _summary: 'count' } });
  assert.equal(counted.total, wanted.size, `${type}: _summary=count`);
  assert.equal(counted.entry, undefined);
  counts.searched += wanted.size;
}

for (const [name, resource] of record) {
  const [resourceType, id] = name.split('/');
  assert.deepEqual(await client.read({ resourceType, id }), resource, name);
  counts.read += 1;
  for (const reference of new Set(references(resource))) {
    const target = reference.split('/_history/')[0];
    if (record.has(target) || SHARED.has(target.split('/')[0])) {
      const other = await client.resolve({ reference: target });
      assert.equal(nameOf(other), target);
      if (record.has(target)) assert.deepEqual(other, record.get(target));
      counts.followed += 1;
    } else {
      await refused(client.resolve({ reference: target }), 404);
    }
  }
}

for (const type of types) {
  const selection = takes(type, 'patient') ? { patient } : { _id: member };
  for (const _include of declared.get(type).searchInclude ?? []) {
    const entries = await allEntries(client, await client.search({ resourceType: type, searchParams: { ...selection, _include, _count: 5 } }));
    const targets = new Set(entries.filter((entry) => entry.search.mode === 'match').flatMap((entry) => [...references(entry.resource)]));
    for (const { resource, search } of entries) {
      if (search.mode !== 'include') continue;
      assert.ok(targets.has(nameOf(resource)), `${nameOf(resource)} is included by ${_include} because something refers to it`);
      if (record.has(nameOf(resource))) assert.deepEqual(resource, record.get(nameOf(resource)));
      else assert.ok(SHARED.has(resource.resourceType), `${nameOf(resource)} is included, but neither shared nor in the record`);
      counts.included += 1;
    }
  }
  for (const _revinclude of declared.get(type).searchRevInclude ?? []) {
    const entries = await allEntries(client, await client.search({ resourceType: type, searchParams: { ...selection, _revinclude } }));
    const matches = new Set(found(entries).keys());
    const included = found(entries, 'include');
    for (const resource of included.values()) {
      assert.ok([...references(resource)].some((target) => matches.has(target)), `${nameOf(resource)} refers to a match`);
    }
    counts.included += included.size;
  }
}

const BATCH = 50;
const names = [...record.keys()].slice(0, BATCH);
const entry = names.map((url) => ({ request: { method: 'GET', url } }));
const batch = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } });
assert.equal(batch.type, 'batch-response');
assert.deepEqual(batch.entry.map((answer) => answer.resource), names.map((name) => record.get(name)));

await refused(client.read({ resourceType: 'Patient', id: '00000000-0000-4000-8000-000000000000' }), 404);
await refused(client.search({ resourceType: 'Patient', searchParams: { 'name:nonsense': 'x' } }), 400);
assert.equal(counts.read, record.size);
assert.equal(counts.searched, record.size);
assert.ok(counts.followed > 0 && counts.included > 0, JSON.stringify(counts));
console.log(`searched ${counts.searched}, read ${counts.read}, followed ${counts.followed} references, ${counts.included} by include`);
