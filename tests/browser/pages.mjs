// The readable pages in a real browser: what they contain, how they look on a wide and on a narrow screen, whether people with
// a keyboard or a screen reader get on with them (axe-core), and that nothing runs or is loaded from elsewhere.
//
//   node pages.mjs --base URL --keys FOLDER --out FOLDER [--browser PATH]
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { Partner } from './partner.mjs';

const { values: options } = parseArgs({
    options: { base: { type: 'string' }, keys: { type: 'string' }, out: { type: 'string' }, browser: { type: 'string', default: '/usr/bin/chromium' } },
});
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const { origin } = new URL(options.base);
// Waits end when what they are for is there: this is for what never comes.
const WAIT_MS = 180_000;
const problems = [];
mkdirSync(options.out, { recursive: true });

// What a script asks for and is refused by the page's own policy, which the console then says.
let refused = null;
const check = (holds, what) => { if (!holds) problems.push(what); };

// Does what leads to another page, waits until that is there, and gives its answer.
async function led(page, action) {
    const isPage = one => one.request().isNavigationRequest();
    const [answer] = await Promise.all([page.waitForResponse(isPage), page.waitForEvent('load'), action()]);
    return answer;
}

// One page: opened, checked, measured at both widths, photographed. Gives back the page for further checks.
async function visit(context, name, url, wanted) {
    const page = await context.newPage();
    const foreign = [];
    page.on('request', request => { if (new URL(request.url()).origin !== origin) foreign.push(request.url()); });
    page.on('dialog', dialog => { problems.push(`${name}: a script ran: ${dialog.message()}`); dialog.dismiss(); });
    const isOf = text => /status of [45]/.test(text) || (refused && text.includes(refused));
    page.on('console', message => { if (message.type() === 'error' && !isOf(message.text())) problems.push(`${name}: console: ${message.text()}`); });
    const answer = await page.goto(url);
    await looked(page, name, answer, wanted);
    check(foreign.length === 0, `${name}: asked elsewhere: ${foreign}`);
    return page;
}

async function looked(page, name, answer, wanted) {
    check(answer.status() === wanted.status, `${name}: status ${answer.status()}`);
    check((answer.headers()['content-security-policy'] ?? '').includes("default-src 'none'"), `${name}: no content policy`);
    check(await page.locator('script').count() === 0, `${name}: a script`);
    check(await page.locator('h1').count() === 1, `${name}: not one h1`);
    const title = await page.locator('h1').innerText();
    check(title.includes(wanted.heading), `${name}: heading ${title}`);
    for (const selector of wanted.has ?? []) {
        check(await page.locator(selector).count() > 0, `${name}: no ${selector}`);
    }
    for (const scheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme: scheme });
        for (const [size, width] of [['wide', 1280], ['narrow', 390]]) {
            await page.setViewportSize({ width, height: 900 });
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
            check(overflow <= 0, `${name} ${size}: ${overflow} px wider than the screen`);
            if (scheme === 'light' || size === 'wide') {
                await page.screenshot({ path: join(options.out, `${name}-${size}-${scheme}.png`) });
            }
        }
        await page.setViewportSize({ width: 1280, height: 900 });
        // Evaluated by the driver, not by the page: the content policy stays in force.
        const found = await page.evaluate(`${axe}; axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })`);
        for (const violation of found.violations) {
            problems.push(`${name} ${scheme}: ${violation.id}: ${violation.help}: ${violation.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | ')}`);
        }
    }
    await page.emulateMedia({ colorScheme: 'light' });
}

const partner = new Partner(options.base, options.keys);
const token = await partner.token();
const id = await partner.match(token, join(options.keys, 'match.json'));

const browser = await chromium.launch({ executablePath: options.browser, timeout: WAIT_MS, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'] });
const stranger = await browser.newContext({ ignoreHTTPSErrors: true });
stranger.setDefaultTimeout(WAIT_MS);
const member = await browser.newContext({
    ignoreHTTPSErrors: true,
    extraHTTPHeaders: { authorization: `Bearer ${token}` },
    clientCertificates: [{ origin, cert: partner.tls.cert, key: partner.tls.key }],
});

member.setDefaultTimeout(WAIT_MS);

// The accessibility check must be able to fail.
async function selfTest() {
    const page = await stranger.newPage();
    await page.setContent('<p style="color:#ccc;background:#fff">faint</p><input><img src="data:,">');
    const found = await page.evaluate(`${axe}; axe.run(document)`);
    const ids = found.violations.map(violation => violation.id);
    for (const id of ['color-contrast', 'label', 'image-alt', 'html-has-lang']) check(ids.includes(id), `the accessibility check does not see ${id}`);
    await page.close();
}

async function walk() {
    await selfTest();
    // Without a token: what is public, and pages that say how to get one.
    const home = await visit(stranger, 'home', options.base, {
        status: 200, heading: 'Causeway', has: ['a[href$="/explorer/Patient"]', '#token', 'nav', 'main', 'footer'],
    });
    const size = await home.evaluate(() => document.documentElement.outerHTML.length);
    check(size < 100_000, `home: ${size} characters`);
    await visit(stranger, 'type', `${options.base}/explorer/Patient`, { status: 200, heading: 'Patient', has: ['form[action$="/Patient/_search"][method=post]'] });
    await home.keyboard.press('Tab');
    check(await home.evaluate(() => document.activeElement.className) === 'skip', 'home: the first stop is not the skip link');
    const ring = await home.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    check(ring !== 'none', 'home: what has the focus does not show it');
    await home.keyboard.press('Enter');
    await home.waitForURL(url => url.hash === '#main').catch(() => {});
    check(new URL(home.url()).hash === '#main', 'home: the skip link does not skip');
    await visit(stranger, 'faults', `${options.base}/CodeSystem/causeway-fault`, { status: 200, heading: 'CodeSystem', has: ['tr#SE-001', 'th[scope=row]'] });
    const refused = await visit(stranger, 'no-token', `${options.base}/Patient/${id}`, { status: 401, heading: '401', has: ['#token', 'a[href$="causeway-fault#SE-001"]'] });
    await led(refused, () => refused.locator('a[href$="causeway-fault#SE-001"]').first().click());
    check(await refused.locator(':target').count() === 1, 'the fault has no row in the table of faults');
    await home.emulateMedia({ media: 'print' });
    check(!(await home.locator('header nav').isVisible()) && await home.locator('h1').isVisible(), 'home: printed with its navigation, or without its heading');
    await home.emulateMedia({ media: 'screen' });
    await visit(stranger, 'operations', `${options.base}/OperationDefinition`, { status: 200, heading: 'OperationDefinition', has: ['th[scope=row] a[href$="/OperationDefinition/member-match"]'] });
    await visit(stranger, 'operation', `${options.base}/OperationDefinition/patient-everything`, { status: 200, heading: 'OperationDefinition', has: ['#parameters'] });
    await visit(stranger, 'nowhere', `${options.base}/nowhere`, { status: 404, heading: '404' });

    // With a token, as an extension of a browser would send it.
    const patient = await visit(member, 'patient', `${options.base}/Patient/${id}`, {
        status: 200, heading: `Patient/${id}`, has: ['#who', 'section[aria-labelledby=coverage] table', '#timeline', '#json', 'form[action$="/$everything"]'],
    });
    await patient.locator('input[name=_count]').first().fill('10');
    const everything = await led(patient, () => patient.locator('form[action$="/$everything"] button').click());
    check(everything.url().includes('$everything'), `everything: led to ${everything.url()}`);
    await looked(patient, 'everything', everything, { status: 200, heading: '$everything', has: ['table', 'a[rel=next]', 'th[scope=row] a'] });
    await led(patient, () => patient.locator('a[rel=next]').first().click());
    check(await patient.locator('th[scope=row] a').count() > 0, 'the next page has no entries');
    const observations = await visit(member, 'observations', `${options.base}/Observation?patient=${id}&_count=5&_revinclude=Provenance:target&colour=red`, {
        status: 200, heading: 'Observation search', has: ['table', 'a[rel=next]', '.issue.warning', 'form[action$="/Observation"][method=get]'],
    });
    await led(observations, () => observations.locator('th[scope=row] a').first().click());
    check((await observations.locator('h1').innerText()).startsWith('Observation'), 'a result does not lead to its resource');
    check(await observations.locator(`pre.json a[href$="/Patient/${id}"]`).count() > 0, 'a resource does not lead to its member');
    await visit(member, 'not-found', `${options.base}/Patient/nobody`, { status: 404, heading: '404', has: ['a[href$="causeway-fault#RQ-015"]'] });
    await visit(member, 'search', `${options.base}/Patient?_id=${id}`, { status: 200, heading: 'Patient search', has: ['table', 'form'] });
    const form = await visit(member, 'form', `${options.base}/explorer/Patient`, { status: 200, heading: 'Patient' });
    await form.locator('[id="Patient._id"]').fill(id);
    await form.screenshot({ path: join(options.out, 'form-open.png') });
    const found = await led(form, () => form.locator('form[action$="/Patient/_search"] button').click());
    check(found.url().endsWith('/Patient/_search'), `posted: led to ${found.url()}`);
    await looked(form, 'posted', found, { status: 200, heading: 'Patient search', has: [`a[href$="/Patient/${id}"]`] });
    check(!form.url().includes(id), 'what was typed got into the address');
}

// A person without an extension: a token is pasted once, by keyboard, and what was typed before is kept.
async function session() {
    const person = await browser.newContext({
        ignoreHTTPSErrors: true,
        clientCertificates: [{ origin, cert: partner.tls.cert, key: partner.tls.key }],
    });
    person.setDefaultTimeout(WAIT_MS);
    const page = await visit(person, 'before', `${options.base}/explorer/Patient`, { status: 200, heading: 'Patient' });
    const sent = action => led(page, action);
    await page.locator('[id="Patient._id"]').fill(id);
    await sent(() => page.locator('[id="Patient._id"]').press('Enter'));
    await page.waitForSelector('#enter');
    check(await page.locator('[id="Patient._id"]').inputValue() === id, 'session: what was typed is lost');
    check((await page.locator('pre.shell').allInnerTexts()).some(text => text.includes(id) && text.includes('$TOKEN')), 'session: the command is not whole');
    await page.locator('#token-value').focus();
    await page.keyboard.type(token);
    const answer = await sent(() => page.keyboard.press('Enter'));
    await looked(page, 'accepted', answer, { status: 200, heading: 'Token accepted', has: ['form[aria-label="Send the search again"]'] });
    check(!(await page.content()).includes(token), 'session: the token is shown');
    const cookies = await person.cookies();
    const cookie = cookies.find(one => one.name === '__Host-causeway-session');
    check(cookie?.httpOnly && cookie.secure && cookie.sameSite === 'Strict' && cookie.path === '/', `session: cookie ${JSON.stringify({ ...cookie, value: '' })}`);
    check(cookie?.value !== token, 'session: the cookie is the token');
    const again = await sent(() => page.locator('form[aria-label="Send the search again"] button').click());
    await looked(page, 'found-again', again, { status: 200, heading: 'Patient search', has: [`a[href$="/Patient/${id}"]`, 'section.visit'] });
    const record = await sent(() => page.locator(`th a[href$="/Patient/${id}"]`).first().click());
    await looked(page, 'record', record, { status: 200, heading: `Patient/${id}`, has: ['#timeline', 'section.visit'] });
    const start = await sent(() => page.locator('.brand a').click());
    await looked(page, 'start', start, { status: 200, heading: 'Causeway', has: ['#filled'] });
    // An address that is typed, and a script of the page itself, get nothing by the cookie.
    const typed = await person.newPage();
    check((await typed.goto(`${options.base}/Patient/${id}`)).status() === 401, 'session: a typed address counts');
    refused = `${options.base}/Patient/${id}`;
    const fetched = await page.evaluate(async url => { try { return (await fetch(url)).status; } catch { return 0; } }, `${options.base}/Patient/${id}`);
    check(fetched !== 200, `session: a script gets ${fetched}`);
    const ended = await sent(() => page.locator('section.visit button').click());
    await looked(page, 'ended', ended, { status: 200, heading: 'Session ended', has: ['#token-value'] });
    await page.goBack().catch(() => {});
    check((await person.cookies()).every(one => one.name !== '__Host-causeway-session'), 'session: the cookie stays');
    await person.close();
}

await walk().then(session).catch(error => problems.push(String(error)));
await browser.close();
for (const problem of problems) console.error(problem);
console.log(`${problems.length} problems; pictures in ${options.out}`);
process.exit(problems.length === 0 ? 0 : 1);
