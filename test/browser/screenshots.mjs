/** Draws the playground for the docs, in both themes, wide and narrow: node test/browser/screenshots.mjs docs/playground */
import { join } from 'node:path';
import { servePlayground } from '../../dist/play/index.js';
import { launch, root } from './chromium.mjs';
import { openPlayground } from './playgroundPage.mjs';

const [folder] = process.argv.slice(2);
const sizes = { wide: { width: 1000, height: 720 }, narrow: { width: 390, height: 720 } };

const playground = await servePlayground(join(root, 'models/tiny-stories'), { port: 0 });
const browser = await launch();
for (const colorScheme of ['light', 'dark'])
  for (const [name, viewport] of Object.entries(sizes)) {
    const page = await openPlayground(browser, playground.url, { colorScheme, viewport });
    await page.getByLabel('Drop attentions').fill('3');
    await page.settled();
    await page.getByLabel('Drop attentions').blur();
    await page.screenshot({ path: join(folder, `${colorScheme}-${name}.jpg`), quality: 75 });
    await page.close();
  }
await browser.close();
await playground[Symbol.asyncDispose]();
