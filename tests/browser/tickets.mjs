// The pictures of the console for docs/operators/tickets.md: wide and light, and narrow and dark.
//
//   node tickets.mjs --ops URL --secret SECRET-OF-A-LINK --exchange ID --out FOLDER [--browser PATH]
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const text = { type: 'string' };
const { values: options } = parseArgs({
    options: { ops: text, secret: text, exchange: text, out: text, browser: { ...text, default: '/usr/bin/chromium' } },
});
const browser = await chromium.launch({ executablePath: options.browser, timeout: 180_000, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'] });
const page = await browser.newPage();
page.setDefaultTimeout(180_000);
await page.goto(`${options.ops}/console/link/${options.secret}`);
await page.getByRole('button', { name: 'Sign in' }).click();
await page.waitForURL(`${options.ops}/console`);
// The newest review is the last of the list.
await page.goto(`${options.ops}/console/reviews?state=all`);
const review = await page.locator('td a[href^="/console/reviews/"]').last().getAttribute('href');
const pages = [
    ['exchange', `/console/exchanges/${options.exchange}`],
    ['review', review],
    ['parked', '/console/parked/preview'],
    ['evidence', '/console/evidence'],
];
for (const [name, path] of pages) {
    for (const [width, colorScheme] of [[1280, 'light'], [390, 'dark']]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 844 });
        const answer = await page.goto(options.ops + path);
        if (answer.status() !== 200) throw new Error(`${path}: ${answer.status()}`);
        await page.screenshot({ path: join(options.out, `ticket-${name}-${width}-${colorScheme}.png`) });
    }
}
await browser.close();
