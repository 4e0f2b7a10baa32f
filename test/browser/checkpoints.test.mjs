import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as inNode from './calls.mjs';
import { root } from './chromium.mjs';
import { openWorkerPage } from './workerPage.mjs';

const folder = 'models/tiny-stories';
const names = readdirSync(join(root, folder));
const story = { prompt: 'The little dog', maxTokens: 20, threads: 1 };

describe('a model in a page, the same as in Node', () => {
  let page;
  let expected;
  before(async () => {
    page = await openWorkerPage({ isolated: true });
    expected = await inNode.greedy({ ...story, model: join(root, folder) });
  });
  after(() => page?.close());

  it('from files that the page was given', async () => {
    const found = await page.call('greedyOfFiles', { ...story, origin: page.origin, folder, names, model: 'given' });
    assert.equal(found.text, expected.text);
  });

  it("from the origin's private file system", async () => {
    const found = await page.call('greedyOfPrivateFiles', { ...story, origin: page.origin, folder, names });
    assert.equal(found.text, expected.text);
  });

  it('from a server without ranges', async () => {
    const plain = await openWorkerPage({ isolated: false, ranges: false });
    const found = await plain.call('greedy', { ...story, model: `${plain.origin}/${folder}` });
    await plain.close();
    assert.equal(found.text, expected.text);
  });

  it('or a sentence says what is missing', async () => {
    const missing = await page.call('failure', { model: `${page.origin}/models/none` });
    assert.match(missing, /^UserError: there is no folder http:.*\/models\/none /);
    const nothing = await page.call('failure', { model: 'nothing' });
    assert.match(nothing, /^UserError: there is no folder nothing /);
  });
});
