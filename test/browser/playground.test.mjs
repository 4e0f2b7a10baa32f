import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { exportCheckpoint } from '../../dist/index.js';
import { servePlayground } from '../../dist/play/index.js';
import * as inNode from './calls.mjs';
import { launch, root } from './chromium.mjs';
import { openPlayground } from './playgroundPage.mjs';

const model = join(root, 'models/tiny-stories');
const written = 96;

describe('the playground', () => {
  let playground;
  let browser;
  let page;
  let whole;

  before(async () => {
    playground = await servePlayground(model, { port: 0 });
    browser = await launch();
    page = await openPlayground(browser, playground.url);
    whole = await page.readings();
  });
  after(async () => {
    await browser?.close();
    await playground?.[Symbol.asyncDispose]();
  });

  it('writes what Node writes, with threads', async () => {
    const prompt = await page.locator('#prompt').inputValue();
    const { text } = await inNode.greedy({ model, prompt, maxTokens: written });
    assert.equal(whole.text, prompt + text);
    assert.match(await page.locator('#facts').textContent(), /llama, 12 layers, .* wasm, \d+ threads?$/);
    assert.deepEqual(page.problems, []);
  });

  it('changes text, loss and the size of the cache with a switch, and back', async () => {
    await page.getByRole('button', { name: 'Attention of layer 5', pressed: true }).click();
    const without = await page.settled();
    assert.equal(without.off, 1);
    assert.notEqual(without.text, whole.text);
    assert.notEqual(without.loss, whole.loss);
    assert.equal(without.kvBytes, (whole.kvBytes * 11) / 12);
    await page.getByRole('button', { name: 'Attention of layer 5', pressed: false }).press('Space');
    const again = await page.settled();
    assert.deepEqual({ ...again, tokensPerSecond: 0 }, { ...whole, tokensPerSecond: 0 });
  });

  it('drops by scores with sliders, and gets faster', async () => {
    await page.getByLabel('Drop attentions').fill('12');
    await page.settled();
    await page.getByLabel('Drop MLPs').fill('8');
    const { off, kvBytes, loss, tokensPerSecond } = await page.settled();
    assert.equal(off, 20);
    assert.equal(kvBytes, 0);
    assert.ok(loss > whole.loss);
    // Four of 24 modules and the head are left: three times as fast, in a moment when nothing else runs.
    let fastest = tokensPerSecond;
    for (let again = 0; again < 8 && fastest < 1.2 * whole.tokensPerSecond; again++) {
      await page.getByLabel('Drop MLPs').fill('7');
      await page.settled();
      await page.getByLabel('Drop MLPs').fill('8');
      fastest = Math.max(fastest, (await page.settled()).tokensPerSecond);
    }
    assert.ok(fastest >= 1.2 * whole.tokensPerSecond, `${fastest} beside ${whole.tokensPerSecond}`);
    // What is kept longest is the first layer, which changes most.
    await page.getByRole('button', { name: 'MLP of layer 0', pressed: true }).waitFor();
    await page.getByRole('button', { name: 'Switch all on' }).click();
    assert.equal((await page.settled()).off, 0);
  });

  it('is scored and measured anew with another passage', async () => {
    await page.getByLabel('Passage').fill('The dog ran. The cat sat. The dog and the cat were friends.');
    await page.getByLabel('Passage').blur();
    const { loss, text } = await page.settled();
    assert.notEqual(loss, whole.loss);
    assert.equal(text, whole.text);
  });

  it('takes a folder and a GGUF file', async () => {
    await page.locator('#folder').setInputFiles(join(root, 'models/tiny-stories'));
    const folder = await page.settled();
    const scratch = mkdtempSync(join(tmpdir(), 'llm-drop-'));
    try {
      await exportCheckpoint(model, { to: 'gguf', type: 'q8_0', out: join(scratch, 'small.gguf') });
      await page.locator('#gguf').setInputFiles(join(scratch, 'small.gguf'));
      await page.getByRole('heading', { name: 'small' }).waitFor();
      const gguf = await page.settled();
      assert.ok(Math.abs(gguf.loss - folder.loss) < 0.02, `${gguf.loss} beside ${folder.loss}`);
    } finally {
      rmSync(scratch, { recursive: true });
    }
    assert.equal(await page.locator('#error').textContent(), '');
  });

  it('says what is wrong with a folder, and keeps the model', async () => {
    await page.locator('#folder').setInputFiles(join(root, 'site'));
    await page.locator('#error:not(:empty)').waitFor();
    assert.match(await page.locator('#error').textContent(), /^site has no config.json/);
    await page.getByRole('button', { name: 'MLP of layer 7' }).click();
    assert.equal((await page.settled()).off, 1);
  });
});
