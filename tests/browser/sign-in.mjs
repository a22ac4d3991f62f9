// Signing in to the console at a real OpenID provider (oidc-provider), in a real browser: from a page of the console to the provider and back to the
// same page, out on both sides, an answer that is used twice, and a person without a role.
//
//   node sign-in.mjs --ops URL --issuer URL --secret FILE --out FOLDER [--browser PATH]
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Provider from 'oidc-provider';
import { chromium } from 'playwright-core';

const { values: options } = parseArgs({
    options: {
        ops: { type: 'string' }, issuer: { type: 'string' }, secret: { type: 'string' }, out: { type: 'string' },
        browser: { type: 'string', default: '/usr/bin/chromium' },
    },
});
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
// Waits end when what they are for is there: this is for what never comes.
const WAIT_MS = 180_000;
// The server gives the provider, which is in this process, four seconds for an answer, and then does not ask it for ten.
const REST_MS = 11_000;
const TRIES = 6;
const GROUPS = { ana: ['staff', 'payer-ops', 'payer-audit'], eve: ['staff'] };
const problems = [];
const check = (holds, what) => { if (!holds) problems.push(what); };
mkdirSync(options.out, { recursive: true });

const provider = new Provider(options.issuer, {
    clients: [{
        client_id: 'console',
        client_secret: readFileSync(options.secret, 'utf8').trim(),
        redirect_uris: [`${options.ops}/console/sign-in/done`],
    }],
    claims: { openid: ['sub', 'groups'] },
    conformIdTokenClaims: false,
    ttl: { AuthorizationCode: 600 },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, groups: GROUPS[sub] ?? [] }) }),
});
const server = provider.listen(Number(new URL(options.issuer).port));
await new Promise((resolve, reject) => { server.once('listening', resolve); server.once('error', reject); });

const browser = await chromium.launch({ executablePath: options.browser, timeout: WAIT_MS, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'] });
const context = await browser.newContext();
context.setDefaultTimeout(WAIT_MS);
// The provider's own pages ask for a font elsewhere.
await context.route(url => !['127.0.0.1', 'localhost'].includes(url.hostname), route => route.abort());

// A page of the console, as it is now: its heading, and what axe-core finds.
async function looked(page, name, heading) {
    const title = await page.locator('h1').innerText();
    check(title.includes(heading), `${name}: heading ${title}`);
    check(await page.locator('script').count() === 0, `${name}: a script`);
    await page.screenshot({ path: join(options.out, `sign-in-${name}.png`) });
    const found = await page.evaluate(`${axe}; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })`);
    for (const violation of found.violations) problems.push(`${name}: ${violation.id}: ${violation.help}`);
}

// Does what leads to another page, waits until that is there, and gives its answer.
async function led(page, action) {
    const isPage = one => one.request().isNavigationRequest() && (one.status() < 300 || one.status() >= 400);
    const [answer] = await Promise.all([page.waitForResponse(isPage), page.waitForEvent('load'), action()]);
    return answer;
}

// From a page of the console to the provider, and through its forms as this person. Again, if this process had not the time to answer the server (503).
async function signIn(page, from, who) {
    for (let tries = 1; ; tries += 1) {
        await page.goto(`${options.ops}${from}`);
        let answer = await led(page, () => page.getByRole('link', { name: 'Sign in at localhost' }).click());
        // It asks nobody whom it knows from the try before.
        if (new URL(answer.url()).origin === options.issuer) {
            await page.locator('input[name=login]').fill(who);
            await page.locator('input[name=password]').fill('any');
            await led(page, () => page.locator('button[type=submit]').click());
            await page.waitForSelector('input[name=prompt][value=consent]', { state: 'attached' });
            answer = await led(page, () => page.locator('button[type=submit]').click());
        }
        if (answer.status() !== 503 || tries === TRIES) return;
        await page.waitForTimeout(REST_MS);
    }
}

async function walk() {
    const page = await context.newPage();
    const answers = [];
    page.on('response', response => {
        if (response.url().includes('/console/sign-in/done') && response.status() !== 503) answers.push(response.url());
    });
    const before = await page.goto(`${options.ops}/console/exchanges`);
    check(before.status() === 401, `before: status ${before.status()}`);
    await looked(page, 'before', 'You are not signed in');

    await signIn(page, '/console/exchanges', 'ana');
    // The page that ends the sign-in leads on by itself, to the page where it began.
    await page.waitForURL(`${options.ops}/console/exchanges`);
    await looked(page, 'after', 'Exchanges');
    const visit = await page.locator('section.visit').innerText();
    check(visit.includes('ana') && visit.includes('operator,auditor'), `after: ${visit}`);
    const cookies = await context.cookies(`${options.ops}/console`);
    const session = cookies.find(one => one.name === 'causeway-console');
    check(session?.httpOnly && session.sameSite === 'Strict', `after: cookie ${JSON.stringify({ ...session, value: '' })}`);
    check(!cookies.some(one => one.name === 'causeway-sign-in'), 'after: the cookie of the sign-in stays');

    check(answers.length === 1, `the browser came back ${answers.length} times`);
    const again = await context.newPage();
    const refused = await again.goto(answers[0]);
    check(refused.status() === 401, `again: status ${refused.status()}`);
    await looked(again, 'again', '401');
    check((await again.content()).includes('SI-001'), 'again: not refused with SI-001');
    await again.close();

    await page.locator('section.visit button').click();
    await page.waitForSelector('h1:has-text("Signed out")');
    await looked(page, 'out', 'Signed out');
    await page.getByRole('link', { name: 'Sign out there too' }).click();
    await page.waitForURL(url => url.origin === options.issuer);
    await page.locator('button[name=logout][value=yes]').click();
    await page.waitForSelector('h1:has-text("Sign-out Success")');
    check((await page.goto(`${options.ops}/console`)).status() === 401, 'out: still signed in');

    await signIn(page, '/console', 'eve');
    await page.waitForURL(url => url.pathname === '/console/sign-in/done');
    await looked(page, 'no-role', '403');
    check((await page.content()).includes('SI-002'), 'no role: not refused with SI-002');
    check((await context.cookies(`${options.ops}/console`)).every(one => one.name !== 'causeway-console'), 'no role: a session');
}

await walk().catch(error => problems.push(String(error)));
await browser.close();
server.close();
server.closeAllConnections();
for (const problem of problems) console.error(problem);
console.log(`${problems.length} problems; pictures in ${options.out}`);
process.exit(problems.length === 0 ? 0 : 1);
