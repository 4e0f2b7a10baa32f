import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SafetensorsFile } from '../../dist/index.js';
import * as inNode from './calls.mjs';
import { root } from './chromium.mjs';
import { openWorkerPage } from './workerPage.mjs';

const cases = join(root, 'test/fixtures/cases');
const story = { prompt: 'Once upon a time', maxTokens: 60 };
const folder = 'models/tiny-stories';

for (const isolated of [true, false])
  describe(`a page that is ${isolated ? '' : 'not '}cross-origin isolated`, () => {
    let page;
    before(async () => void (page = await openWorkerPage({ isolated })));
    after(() => page?.close());
    const model = () => `${page.origin}/${folder}`;

    it('says so', async () => {
      const { isolated: found } = await page.call('facts');
      assert.equal(found, isolated);
    });

    const runs = [...(isolated ? [['wasm', 2]] : []), ['wasm', 1], ['reference', 1]];
    for (const [backend, threads] of runs)
      it(`generates what Node does on ${backend} with ${threads} ${threads === 1 ? 'thread' : 'threads'}`, async () => {
        const there = await page.call('greedy', { ...story, model: model(), backend, threads });
        const here = await inNode.greedy({ ...story, model: join(root, folder), backend, threads });
        assert.equal(there.text, here.text);
        assert.ok(there.tokens.length > 30);
        assert.equal(there.workers, threads - 1);
        assert.deepEqual(page.warnings, []);
      });

    it('generates the same on webgpu, by SwiftShader', { skip: !isolated }, async () => {
      const short = { ...story, maxTokens: 24 };
      const there = await page.call('greedy', { ...short, model: model(), backend: 'webgpu' });
      const here = await inNode.greedy({ ...short, model: join(root, folder), backend: 'wasm', threads: 1 });
      assert.equal(there.text, here.text);
    });

    it('takes one thread where memory cannot be shared', { skip: isolated }, async () => {
      const there = await page.call('greedy', { ...story, model: model(), backend: 'wasm', threads: 4 });
      const here = await inNode.greedy({ ...story, model: join(root, folder), backend: 'wasm', threads: 1 });
      assert.equal(there.text, here.text);
      assert.equal(there.workers, 0);
    });
  });

describe('the cases of transformers, on wasm in a page', () => {
  let page;
  before(async () => void (page = await openWorkerPage({ isolated: true })));
  after(() => page?.close());

  for (const name of readdirSync(cases))
    it(`${name}: logits, whole and dropped`, async () => {
      const folder = join(cases, name);
      const file = await SafetensorsFile.open(join(folder, 'expected.safetensors'));
      const { drop_attn_list: attention, drop_mlp_list: mlp } = json(join(folder, 'expected.json'));
      const inputIds = await ids(file);
      for (const [tensor, drops] of [
        ['logits', undefined],
        ['dropped_logits', { attention, mlp }],
      ]) {
        const model = `${page.origin}/test/fixtures/cases/${name}`;
        const { logits } = await page.call('logits', { model, inputIds, drops, threads: 2 });
        const expected = new Float32Array((await file.bytes(tensor)).buffer);
        assert.equal(logits.length, expected.length);
        // Of the largest |logit|, as in test/model.
        const most = 2e-4 * expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        expected.forEach((value, i) =>
          assert.ok(Math.abs(value - logits[i]) <= most, `logit ${i}: ${logits[i]}, expected ${value}`),
        );
      }
      await file.close();
    });
});

function json(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

async function ids(file) {
  const all = Array.from(new BigInt64Array((await file.bytes('input_ids')).buffer), Number);
  const [rows, width] = file.info('input_ids').shape;
  return Array.from({ length: rows }, (_, i) => all.slice(i * width, (i + 1) * width));
}
