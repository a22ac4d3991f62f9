// The pictures of pages in docs/pictures: as a partner's engineer sees them, wide and narrow, light and dark.
//
//   node pictures.mjs --base URL --keys FOLDER --out FOLDER [--browser PATH]
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { Partner } from './partner.mjs';

const { values: options } = parseArgs({
    options: { base: { type: 'string' }, keys: { type: 'string' }, out: { type: 'string' }, browser: { type: 'string', default: '/usr/bin/chromium' } },
});
const partner = new Partner(options.base, options.keys);
const token = await partner.token();
const id = await partner.match(token, join(options.keys, 'match.json'));
const pages = [
    ['start', ''],
    ['patient', `/Patient/${id}`],
    ['search', `/Observation?patient=${id}&_count=5`],
    ['fault', '/Patient/nobody'],
];

const browser = await chromium.launch({ executablePath: options.browser, timeout: 180_000, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'] });
for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 390]) {
        const context = await browser.newContext({
            ignoreHTTPSErrors: true,
            colorScheme,
            viewport: { width, height: 844 },
            extraHTTPHeaders: { authorization: `Bearer ${token}` },
            clientCertificates: [{ origin: new URL(options.base).origin, cert: partner.tls.cert, key: partner.tls.key }],
        });
        for (const [name, path] of pages) {
            const page = await context.newPage();
            page.setDefaultTimeout(180_000);
            await page.goto(options.base + path);
            await page.screenshot({ path: join(options.out, `page-${name}-${width}-${colorScheme}.png`) });
            await page.close();
        }
        await context.close();
    }
}
await browser.close();
