/**
 * Decoding speed of the built-in model in a page beside Node's, in turns: node test/browser/speed.mjs [ROUNDS]. Prints
 * the fastest of each, which nothing else on the machine disturbed, and the median of the rounds' ratios.
 */
import { join } from 'node:path';
import { decodeSpeed, loadModel } from '../../dist/browser.js';
import { root } from './chromium.mjs';
import { openWorkerPage } from './workerPage.mjs';

const rounds = Number(process.argv[2] ?? 9);
const folder = 'models/tiny-stories';
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const page = await openWorkerPage({ isolated: true });
for (const threads of [1, 2]) {
  const model = await loadModel(join(root, folder), { backend: 'wasm', threads, v8Flags: true });
  const measure = { tokens: 16, repeats: 200 };
  const [there, here] = [[], []];
  for (let round = 0; round < rounds; round++) {
    there.push((await page.call('speed', { model: `${page.origin}/${folder}`, threads, ...measure })).tokensPerSecond);
    here.push(await decodeSpeed(model, [0], measure));
  }
  const [ours, nodes] = [Math.max(...there), Math.max(...here)];
  const { tier } = model.engine.backend.abilities;
  const ratios = there.map((value, i) => value / here[i]);
  console.log(
    `${threads} threads: ${ours.toFixed(0)} tokens/s in the page, ${nodes.toFixed(0)} in Node (${tier}), ratio ${(ours / nodes).toFixed(2)}; median of ratios ${median(ratios).toFixed(2)}`,
  );
  await model.close();
}
await page.close();
