// A partner's token and requests from Node, with the keys that `causeway demo` leaves.
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';

const SCOPE = 'system/*.rs http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match';

export class Partner {
    constructor(base, keys) {
        const read = name => readFileSync(join(keys, name));
        this.base = base;
        this.tls = { ca: read('ca.pem'), cert: read('partner.pem'), key: read('partner.key') };
        this.jwk = JSON.parse(read('partner-jwks.json')).keys[0];
    }

    // One request; resolves to status, headers and text.
    send(method, url, headers = {}, body = '') {
        return new Promise((resolve, reject) => {
            const call = request(url, { method, headers, ...this.tls }, answer => {
                const pieces = [];
                answer.on('data', piece => pieces.push(piece));
                answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(pieces).toString() }));
                answer.on('error', reject);
            });
            call.on('error', reject);
            call.end(body);
        });
    }

    async token() {
        const endpoint = `${new URL(this.base).origin}/oauth/token`;
        const encode = value => Buffer.from(JSON.stringify(value)).toString('base64url');
        const claims = { iss: 'new-payer', sub: 'new-payer', aud: endpoint, exp: Math.floor(Date.now() / 1000) + 240, jti: randomUUID() };
        const content = `${encode({ alg: 'ES384', kid: this.jwk.kid, typ: 'JWT' })}.${encode(claims)}`;
        const key = createPrivateKey({ key: this.jwk, format: 'jwk' });
        const signature = sign('sha384', Buffer.from(content), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
        const form = new URLSearchParams({
            grant_type: 'client_credentials', scope: SCOPE,
            client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: `${content}.${signature}`,
        });
        const answer = await this.send('POST', endpoint, { 'content-type': 'application/x-www-form-urlencoded' }, form.toString());
        if (answer.status !== 200) throw new Error(`no token: ${answer.status} ${answer.text}`);
        return JSON.parse(answer.text).access_token;
    }

    // Matches the member of a request body and gives the id of the Patient.
    async match(token, file) {
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' };
        const answer = await this.send('POST', `${this.base}/Patient/$member-match`, headers, readFileSync(file));
        if (answer.status !== 200) throw new Error(`no match: ${answer.status} ${answer.text}`);
        const found = JSON.parse(answer.text).parameter.find(one => one.name === 'MemberId');
        return found.valueReference.reference.split('/')[1];
    }
}
