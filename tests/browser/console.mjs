// The console in a real browser: every page for every role, wide and narrow, light and dark, by axe-core; and that no page, no address and no packet
// has a value of the canary members, but for the one review whose values a reviewer asks for with a reason.
//
//   node console.mjs --causeway PROGRAM --home FOLDER --prepare            before the server starts: puts the canary members in
//   node console.mjs --causeway PROGRAM --home FOLDER --base URL --keys FOLDER --out FOLDER [--browser PATH]
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { Partner } from './partner.mjs';

const text = { type: 'string' };
const { values: options } = parseArgs({
    options: { causeway: text, home: text, base: text, keys: text, out: text, prepare: { type: 'boolean' }, browser: { ...text, default: '/usr/bin/chromium' } },
});
// Waits end when what they are for is there: this is for what never comes.
const WAIT_MS = 180_000;
// A link works for a minute.
const LINK_MS = 50_000;
const NUMBERS = 'http://old-payer.example/identifiers/member';
const WHY = 'a walk through the console';
// Values that no other page of this server has.
const CANARIES = [
    { id: 'canary-1', family: 'Quillonbrack', given: 'Odalys', birthDate: '1951-07-23', number: 'CANARY770431', phone: '518-555-0142', street: '17 Canary Row' },
    { id: 'canary-2', family: 'Threnwickel', given: 'Bastienne', birthDate: '1962-02-19', number: 'CANARY880542', phone: '518-555-0177', street: '4 Finch Lane' },
];
const SECRETS = CANARIES.flatMap(one => [one.family, one.given, one.birthDate, one.number, one.phone, one.street]);
const problems = [];
const check = (holds, what) => { if (!holds) problems.push(what); };
const cut = said => said.replace(/\s+/g, ' ').slice(0, 160);

function command(...given) {
    return JSON.parse(execFileSync(options.causeway, [...given, '--json'], { cwd: options.home, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
}

// ---------------------------------------------------------------- the canary members

const person = ({ family, given, birthDate, phone, street }) => ({
    name: [{ use: 'official', family, given: [given] }], gender: 'female', birthDate, telecom: [{ system: 'phone', value: phone }],
    address: [{ line: [street], city: 'Albany', state: 'NY', postalCode: '12207' }],
});

function prepare() {
    const lines = CANARIES.flatMap(canary => {
        const { id, number } = canary;
        const identifier = [{ type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'MB' }] }, system: NUMBERS, value: number }];
        const patient = { resourceType: 'Patient', id, identifier, ...person(canary) };
        const coverage = {
            resourceType: 'Coverage', id: `${id}-cover`, identifier, status: 'active', subscriberId: number,
            beneficiary: { reference: `Patient/${id}` }, payor: [{ display: 'Old Payer' }],
        };
        return [patient, coverage].map(one => JSON.stringify(one));
    });
    writeFileSync(join(options.home, 'canaries.ndjson'), `${lines.join('\n')}\n`);
    const said = command('import', 'canaries.ndjson', '--quiet');
    if (said.rejected !== 0) throw new Error(`the canaries were not taken in: ${JSON.stringify(said)}`);
}

// The request about this person, with that member's card and this number of the partner.
function requestAbout(someone, card, theirs) {
    const body = JSON.parse(readFileSync(join(options.keys, 'match.json')));
    const part = name => body.parameter.find(one => one.name === name).resource;
    Object.assign(part('MemberPatient'), person(someone));
    part('CoverageToLink').identifier[0].value = theirs;
    const coverage = part('CoverageToMatch');
    coverage.identifier[0].value = card.number;
    coverage.subscriberId = card.number;
    return JSON.stringify(body);
}

// A match, a doubtful one, a read, an exchange of ours that is parked, a case and a packet.
async function happen() {
    const partner = new Partner(options.base, options.keys);
    const token = await partner.token();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' };
    const match = (...about) => partner.send('POST', `${options.base}/Patient/$member-match`, headers, requestAbout(...about));
    const matched = await match(CANARIES[0], CANARIES[0], 'THEIRS-CANARY-1');
    if (matched.status !== 200) throw new Error(`no match: ${matched.status} ${matched.text}`);
    const doubtful = await match(CANARIES[1], CANARIES[0], 'THEIRS-CANARY-2');
    if (doubtful.status !== 422) throw new Error(`no doubt: ${doubtful.status} ${doubtful.text}`);
    const read = await partner.send('GET', `${options.base}/Patient/canary-1`, headers);
    if (read.status !== 200) throw new Error(`no read: ${read.status} ${read.text}`);
    const decision = command('grant', 'list', '--member', 'canary-1')[0].decision_id;
    // Ids sort by time.
    const review = command('review', 'list').map(one => one.id).sort().at(-1);
    if (!command('partner', 'list').some(one => one.id === 'walked')) {
        writeFileSync(join(options.home, 'walked.toml'), [
            'id = "walked"', 'name = "Walked Payer"', 'npi = "1992000038"', 'client_id = "walked"',
            `jwks_file = ${JSON.stringify(join(options.keys, 'partner-jwks-public.json'))}`, 'mtls = "off"', 'scopes = ["system/*.rs"]',
            '[endpoint]', 'fhir = "https://localhost:9/fhir"', '',
        ].join('\n'));
        execFileSync(options.causeway, ['partner', 'add', '--file', 'walked.toml'], { cwd: options.home, stdio: ['ignore', 'ignore', 'inherit'] });
    }
    writeFileSync(join(options.home, 'walk.json'), JSON.stringify({
        partner: 'walked', member: 'Patient/canary-1', other_member_number: CANARIES[1].number,
        opt_in_by: 'desk', opt_in_at: '2026-01-02', opt_in_how: 'paper',
    }));
    const outbound = command('exchange', 'start', 'walk.json').id;
    command('exchange', 'pause', outbound, '--reason', WHY);
    const version = command('policy', 'list', '--kind', 'matching').find(one => one.name === 'balanced').id;
    return { decision, review, outbound, version };
}

// ---------------------------------------------------------------- pages and roles

const ALL = ['support', 'operator', 'reviewer', 'auditor', 'admin'];
const LOOKERS = ['support', 'operator', 'auditor'];
// Every page that is followed to, as the table of the console has it, what stands for its id, and who may see it. A form that says for whom it is
// counts as a page of all roles. `tests/it/console_desk.rs` compares the paths with the table.
const PAGES = [
    ['/console', ALL],
    ['/console/find', ALL],
    ['/console/exchanges', LOOKERS],
    ['/console/exchanges/{id}', LOOKERS, 'decision'],
    ['/console/exchanges/{id}', LOOKERS, 'outbound'],
    ['/console/parked', ['operator']],
    ['/console/parked/preview', LOOKERS],
    ['/console/parked/jobs', ['operator']],
    ['/console/jobs', ['operator']],
    ['/console/alerts', ['operator']],
    ['/console/reviews', ['support', 'operator', 'reviewer', 'auditor']],
    ['/console/reviews/{id}', ['support', 'operator', 'reviewer', 'auditor'], 'review'],
    ['/console/links', ALL],
    ['/console/bulk', ['operator']],
    ['/console/partners', ['admin']],
    ['/console/disclosures', ALL],
    ['/console/ledger', ['auditor']],
    ['/console/looks', ['auditor']],
    ['/console/evidence', ['auditor']],
    ['/console/evidence/{id}', ['auditor'], 'packet'],
    ['/console/cases', ['auditor']],
    ['/console/cases/{id}', ['auditor'], 'case'],
    ['/console/policies', ['admin']],
    ['/console/policies/compare', ALL],
    ['/console/policies/{id}', ['admin'], 'version'],
    ['/console/service', LOOKERS],
    ['/console/service/page', LOOKERS],
    ['/console/scorecards/{id}', LOOKERS, 'partner'],
    ['/console/runbook/{id}', ALL, 'runbook'],
];
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
const SCREENS = [['light', 1280], ['dark', 390], ['dark', 1280], ['light', 390]];
// Pages that were looked at on every screen already; for a further role one is enough.
const seen = new Set();
let visits = 0;

class Walker {
    static async signIn(browser, role) {
        const link = () => ({ ...command('console', 'link', '--role', role, '--name', `walk-${role}`, '--reason', WHY), made: Date.now() });
        const { url, made } = link();
        const context = await browser.newContext();
        context.setDefaultTimeout(WAIT_MS);
        const walker = new Walker();
        Object.assign(walker, { role, context, origin: new URL(url).origin, page: await context.newPage() });
        walker.page.on('request', request => check(new URL(request.url()).origin === walker.origin, `${role}: asked elsewhere: ${request.url()}`));
        walker.page.on('dialog', dialog => { problems.push(`${role}: a script ran: ${dialog.message()}`); dialog.dismiss(); });
        await walker.page.goto(url);
        await walker.looked('sign-in', 200);
        const enter = () => walker.sent(() => walker.page.getByRole('button', { name: 'Sign in' }).click());
        let late = Date.now() - made > LINK_MS;
        if (!late) late = (await enter()).status() === 401 && Date.now() - made > LINK_MS;
        // To look at the page took longer than a link works.
        if (late) {
            await walker.page.goto(link().url);
            await enter();
        }
        check(walker.page.url() === `${walker.origin}/console`, `${role}: signed in, and at ${walker.page.url()}`);
        return walker;
    }

    async sent(action) {
        const isPage = one => one.request().isNavigationRequest() && one.status() !== 303;
        const [answer] = await Promise.all([this.page.waitForResponse(isPage), this.page.waitForEvent('load'), action()]);
        return answer;
    }

    async visit(path, allowed) {
        const answer = await this.page.goto(this.origin + path);
        const name = `${this.role} ${path.replace(/[0-9a-f-]{30,}/, 'ID')}`;
        check(answer.status() === (allowed ? 200 : 403), `${name}: status ${answer.status()}`);
        check((answer.headers()['content-security-policy'] ?? '').includes("default-src 'none'"), `${name}: no content policy`);
        await this.looked(name, answer.status(), allowed ? path.replace(/[0-9a-f-]{30,}/, 'ID') : 'refused');
    }

    // What is true of any page of the console.
    async looked(name, status, kind = name, secrets = SECRETS) {
        visits += 1;
        const { page } = this;
        const html = await page.content();
        for (const secret of secrets) check(!html.includes(secret) && !page.url().includes(secret), `${name}: shows ${secret}`);
        check(await page.locator('script').count() === 0, `${name}: a script`);
        check(await page.locator('h1').count() === 1, `${name}: not one h1`);
        const again = seen.has(`${kind} ${status}`);
        seen.add(`${kind} ${status}`);
        if (again && kind === 'refused') return;
        await page.evaluate(`${axe}; 0`);
        for (const [colorScheme, width] of again ? SCREENS.slice(1, 2) : SCREENS) {
            await page.emulateMedia({ colorScheme });
            await page.setViewportSize({ width, height: 844 });
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
            check(overflow <= 0, `${name} ${width}: ${overflow} px wider than the screen`);
            // Evaluated by the driver, not by the page: the content policy stays in force.
            const found = await page.evaluate(`axe.run(document, { runOnly: ${JSON.stringify(RULES)} })`);
            for (const violation of found.violations) {
                problems.push(`${name} ${colorScheme} ${width}: ${violation.id}: ${violation.help}: ${violation.nodes.slice(0, 2).map(node => cut(node.html)).join(' | ')}`);
            }
            const isPictured = !again && (colorScheme === 'light') === (width === 1280);
            if (isPictured) await page.screenshot({ path: join(options.out, `console-${visits}-${colorScheme}-${width}.png`) });
        }
    }

    // Fills in a form by its name and sends it.
    async form(name, fields) {
        const form = this.page.getByRole('form', { name, exact: true });
        for (const [field, value] of Object.entries(fields)) await form.locator(`[name=${field}]`).fill(value);
        return this.sent(() => form.locator('button').click());
    }
}

// ---------------------------------------------------------------- the walk

// The accessibility check and the one of secrets must be able to fail.
async function selfTest(browser) {
    const before = problems.length;
    const walker = new Walker();
    Object.assign(walker, { role: 'nobody', page: await browser.newPage() });
    walker.page.setDefaultTimeout(WAIT_MS);
    await walker.page.setContent(`<p style="color:#ccc;background:#fff">${SECRETS.join(' ')}</p><input><img src="data:,">`);
    await walker.looked('self-test', 200);
    const said = problems.splice(before).join('\n');
    for (const wanted of [...SECRETS.map(secret => `shows ${secret}`), 'color-contrast', 'label', 'image-alt', 'not one h1']) {
        check(said.includes(wanted), `the walk does not see ${wanted}`);
    }
    await walker.page.close();
}

// Looks by a number and at values, each with its reason.
async function forms(walker, ids) {
    const { role, page, origin } = walker;
    if (LOOKERS.includes(role)) {
        await page.goto(`${origin}/console/find`);
        const found = await walker.form('Find by a member number', { number: CANARIES[0].number, reason: WHY });
        check(found.status() === 200 && (await page.content()).includes(ids.decision), `${role}: the member is not found by the number`);
        await walker.looked(`${role} found`, 200);
        await page.goto(`${origin}/console/find`);
        await walker.form('Find by an id', { id: ids.decision, reason: WHY });
        await walker.looked(`${role} found-by-id`, 200);
    }
    if (role === 'auditor') {
        await page.goto(`${origin}/console/disclosures`);
        await walker.form('Who got what of a member', { member_number: CANARIES[0].number, reason: WHY });
        check((await page.content()).includes('Patient/canary-1'), 'auditor: nothing was disclosed of the canary');
        await walker.looked('auditor disclosed', 200);
        await page.goto(`${origin}/console/policies/compare`);
        await walker.form('Compare a version with what was decided', { version: 'balanced', last: '20' });
        await walker.looked('auditor compared', 200);
    }
    if (role === 'reviewer') {
        await page.goto(`${origin}/console/reviews/${ids.review}`);
        await walker.form('Show the values', { reason: WHY });
        const html = await page.content();
        check(html.includes(CANARIES[1].family), 'reviewer: the values are not shown, so that the check of secrets shows nothing');
        // The values are meant to be there; everything else holds.
        await walker.looked('reviewer shown', 200, 'shown', []);
        await page.goto(`${origin}/console/links`);
        await walker.form('Links to a member', { member_number: CANARIES[0].number, reason: WHY });
        check((await page.content()).includes('The partner has another person'), 'reviewer: no link to the canary');
        await walker.looked('reviewer links', 200);
    }
}

// Asks for a packet about a case, and keeps what comes; gives the ids of both.
async function evidence(walker, ids) {
    const { page, origin } = walker;
    await page.goto(`${origin}/console/cases`);
    await walker.form('Open a case', { name: `Walk ${Date.now()}`, reason: WHY });
    const name = (await page.locator('h1 .id').innerText()).trim();
    const open = page.url().split('/').at(-1);
    await walker.form('Add to the case', { ids: ids.decision, reason: WHY });
    await page.goto(`${origin}/console/evidence`);
    await walker.form('Ask for a packet', { case: name, reason: WHY });
    const packet = page.url().split('/').at(-1);
    return { case: open, packet };
}

async function fetched(walker, { packet }) {
    const { page, origin } = walker;
    const form = page.getByRole('form', { name: 'Fetch the packet', exact: true });
    for (const began = Date.now(); Date.now() - began < WAIT_MS;) {
        await page.goto(`${origin}/console/evidence/${packet}`);
        if (await form.count() > 0) break;
        await page.waitForTimeout(500);
    }
    await walker.looked('auditor packet made', 200);
    await form.locator('[name=reason]').fill(WHY);
    const [download] = await Promise.all([page.waitForEvent('download'), form.locator('button').click()]);
    check(download.suggestedFilename() === `packet-${packet}.tar`, `auditor: the packet is called ${download.suggestedFilename()}`);
    const bytes = readFileSync(await download.path(), 'latin1');
    check(bytes.includes('manifest.json'), 'auditor: the packet has no manifest');
    for (const secret of SECRETS) check(!bytes.includes(secret), `the packet has ${secret}`);
}

async function walk(browser) {
    await selfTest(browser);
    const ids = { ...await happen(), partner: 'new-payer', runbook: 'phase.completed' };
    const auditor = await Walker.signIn(browser, 'auditor');
    Object.assign(ids, await evidence(auditor, ids));
    for (const role of ALL) {
        // A session that stands still for a quarter of an hour ends.
        await auditor.page.goto(`${auditor.origin}/console`);
        const walker = role === 'auditor' ? auditor : await Walker.signIn(browser, role);
        await forms(walker, ids);
        for (const [path, roles, of] of PAGES) await walker.visit(path.replace('{id}', ids[of]), roles.includes(role));
        await walker.page.goto(`${walker.origin}/console`);
        const led = await walker.page.locator('nav a').evaluateAll(links => links.map(link => link.getAttribute('href')));
        for (const path of led) check(PAGES.some(([known, roles]) => known === path && roles.includes(role)), `${role} is led to ${path}`);
        await walker.page.emulateMedia({ media: 'print' });
        check(!(await walker.page.locator('header nav').isVisible()) && await walker.page.locator('h1').isVisible(), `${role}: printed with its navigation`);
        await walker.page.emulateMedia({ media: 'screen' });
        if (role === 'auditor') await fetched(walker, ids);
        if (role !== 'auditor') await walker.context.close();
    }
    // The one look at values is an entry with its reason. That at links is about a Patient, and not about a review.
    await auditor.page.goto(`${auditor.origin}/console/looks?operator=walk-reviewer`);
    const about = auditor.page.locator('td[data-of="About"]').filter({ hasText: /^Review$/ });
    const looks = await auditor.page.locator('tbody tr').filter({ has: about }).allInnerTexts();
    check(looks.some(look => look.includes(WHY)), `the look at the values is no entry: ${cut(looks.join(' | '))}`);
}

if (options.prepare) {
    prepare();
} else {
    const began = Date.now();
    mkdirSync(options.out, { recursive: true });
    const browser = await chromium.launch({ executablePath: options.browser, timeout: WAIT_MS, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'] });
    await walk(browser).catch(error => problems.push(String(error.stack ?? error)));
    await browser.close();
    for (const problem of new Set(problems)) console.error(problem);
    console.log(`console: ${visits} pages in ${Math.round((Date.now() - began) / 1000)} s; ${problems.length} problems; pictures in ${options.out}`);
    process.exit(problems.length === 0 ? 0 : 1);
}
