import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/checkpoint/index.js';
import { createEngine } from '../../src/engine/index.js';
import { familyOf, openModel } from '../../src/models/index.js';
import { Folders, logits, oneOfEachFamily, randomModel, tiny, tinyMixture } from './modelFolder.js';

const folders = new Folders();
const runs = 50;

/** What no key is likely to mean, and the ends of what some may. */
const odd = [
  ...[-1, -0.5, 0, -0, 0.5, 1, 1.5, 2, 3, 4, 8, 9, 64],
  ...[5e-324, 1e-320, 1e-46, 1e-45, 1e-30, 1e-8, 1e8, 1e30, 3e38, 1e39, 1e308, Infinity, -Infinity],
  ...[2 ** 16, 2 ** 31 - 2, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53],
  ...['2', 'NaN', '', true, false, null],
] as const;
const values = fc.oneof(
  fc.constantFrom<unknown>(...odd, [], {}, [[]], { a: 1 }),
  fc.double({ noNaN: true }),
  fc.integer(),
);

/** JSON that says infinity as 1e999, which readers take for it. */
const text = (config: JsonObject): string =>
  JSON.stringify(config, (_, value: unknown) =>
    value === Infinity ? '<1e999>' : value === -Infinity ? '<-1e999>' : value,
  ).replace(/"<(-?1e999)>"/g, '$1');

const scalings: Record<string, JsonObject> = {
  default: { rope_type: 'default', rope_theta: 10000 },
  linear: { rope_type: 'linear', rope_theta: 10000, factor: 2 },
  llama3: {
    ...{ rope_type: 'llama3', rope_theta: 10000, factor: 8 },
    ...{ low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 },
  },
  yarn: {
    ...{ rope_type: 'yarn', rope_theta: 10000, factor: 4, original_max_position_embeddings: 16 },
    ...{ attention_factor: 1.1, beta_fast: 32, beta_slow: 1, mscale: 1, mscale_all_dim: 1 },
  },
};

const engine = await createEngine('wasm', { threads: 1 });
afterAll(() => engine.dispose());

/** Loads with finite logits, or is refused in a sentence that names the key; either within some seconds. */
async function holds(config: JsonObject, key: string, folder: string): Promise<void> {
  writeFileSync(join(folder, 'config.json'), text(config));
  const start = performance.now();
  const found = await logits(folder, engine).catch((error: unknown) => error as Error);
  expect(performance.now() - start).toBeLessThan(5000);
  if (found instanceof Error) {
    expect(found.name).toBe('UserError');
    expect(found.message).toMatch(new RegExp(`${key}|config\\.json|angles`));
    expect(found.message.length).toBeLessThan(1000);
  } else expect(found.every(Number.isFinite)).toBe(true);
}

describe('any value of any number of a config loads, with finite logits, or is refused by key:', () => {
  it.each([...oneOfEachFamily(), ['a llama without any attention', { ...tiny, dropAttention: [0, 1, 2] }] as const])(
    '%s',
    async (_, partial) => {
      const model = await randomModel(partial);
      const folder = await folders.write(model);
      const all = { ...familyOf(String(model.config.model_type))!.defaults, ...model.config };
      const keys = Object.keys(all).filter((key) => typeof all[key] === 'number');
      for (const key of keys) for (const value of odd) await holds({ ...model.config, [key]: value }, key, folder);
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...keys), values, (key, value) =>
          holds({ ...model.config, [key]: value }, key, folder),
        ),
        { numRuns: runs },
      );
    },
  );
});

describe.each(Object.keys(scalings))('any number of a %s rotation, likewise:', (type) => {
  it.each([
    ['llama', tiny],
    ['a mixture', tinyMixture],
  ])('%s', async (_, partial) => {
    const model = await randomModel(partial);
    const folder = await folders.write(model);
    const rotated = (changed: JsonObject): JsonObject => ({
      ...model.config,
      rope_parameters: { ...scalings[type], ...changed },
    });
    for (const key of Object.keys(scalings[type]))
      for (const value of odd) await holds(rotated({ [key]: value }), key, folder);
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom(...Object.keys(scalings[type])), values, { maxKeys: 3 }),
        (changed) => holds(rotated(changed), 'rope', folder),
      ),
      { numRuns: runs },
    );
  });
});

it.each([{}, [], 'linear', 3, true])('a rope_type or a rotation of %j is refused by key', async (value) => {
  const model = await randomModel(tiny);
  const folder = await folders.write(model);
  for (const [key, changed] of [
    ['rope_type', { rope_parameters: { rope_type: value, rope_theta: 1e4 } }],
    ['rope_scaling', { rope_parameters: null, rope_scaling: value }],
  ] as const) {
    const isPlain = key === 'rope_type' ? value === 'linear' : JSON.stringify(value) === '{}';
    writeFileSync(join(folder, 'config.json'), text({ ...model.config, ...changed }));
    if (isPlain) continue;
    await expect(openModel(folder)).rejects.toThrow(key);
  }
});

describe('counts beyond what the file holds are refused by name, within a second:', () => {
  it.each([
    ['num_hidden_layers', 2 ** 31],
    ['num_hidden_layers', 2 ** 31 - 1],
    ['num_hidden_layers', 1000],
    ['num_local_experts', 2 ** 31],
    ['num_local_experts', 2 ** 31 - 1],
    ['num_local_experts', 1000],
    ['num_experts_per_tok', 5],
    ['hidden_size', 2 ** 31 - 2],
    ['head_dim', 2 ** 31 - 2],
  ])('%s of %d', async (key, value) => {
    const model = await randomModel(tinyMixture);
    const folder = await folders.write({ ...model, config: { ...model.config, [key]: value } });
    const start = performance.now();
    await expect(openModel(folder)).rejects.toThrow(key === 'hidden_size' || key === 'head_dim' ? /./ : key);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('but layers that are dropped need no tensor', async () => {
    const model = await randomModel(tiny);
    const lost = Array.from({ length: 200 }, (_, i) => 3 + i);
    Object.assign(model.config, { num_hidden_layers: 203, drop_attn_list: lost, drop_mlp_list: lost });
    await using opened = await openModel(await folders.write(model));
    expect(opened.config.numHiddenLayers).toBe(203);
  });
});
