/** Any change to a folder's tensors is refused by name, or noted, or changes no logit: by every door of the library. */
import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { safetensorsBytes, type SafetensorsDType } from '../../src/checkpoint/index.js';
import { writeDropped } from '../../src/drop/index.js';
import { exportModel } from '../../src/export/index.js';
import { openModel } from '../../src/models/index.js';
import { modelSpecs } from '../../src/testing/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, copyOf, logits, randomModel, tiny, tinyMixture, zeros, type FolderModel } from './modelFolder.js';
import { packedModel } from './packedModel.js';

const folders = new Folders();
const dtypes = Object.keys(safetensorsBytes) as SafetensorsDType[];
const vocabulary = 40;

/** Gives the names that must be told, or one of them noted. */
type Change = (model: FolderModel) => string[];

const pick = (model: FolderModel, at: number): string => [...model.tensors.keys()][at % model.tensors.size];

const changes: Record<string, fc.Arbitrary<Change>> = {
  dropped: fc.nat().map((at) => (model) => {
    const name = pick(model, at);
    model.tensors.delete(name);
    return [name];
  }),
  renamed: fc
    .tuple(fc.nat(), fc.constantFrom('x', '.x', 'upper', 'lower', 'module.', 'trimmed'))
    .map(([at, how]) => (model) => {
      const name = pick(model, at);
      const renames: Record<string, string> = {
        ...{ upper: name.toUpperCase(), lower: name.replace(/[a-z]/, (letter) => letter.toUpperCase()) },
        ...{ 'module.': `module.${name}`, trimmed: name.slice(0, -1) },
      };
      const other = renames[how] ?? `${name}${how}`;
      model.tensors.set(other, model.tensors.get(name)!);
      model.tensors.delete(name);
      return [name, other];
    }),
  retyped: fc.tuple(fc.nat(), fc.constantFrom(...dtypes)).map(([at, dtype]) => (model) => {
    const name = pick(model, at);
    const { shape, dtype: before } = model.tensors.get(name)!;
    // Another type of floats is as good, but for its values.
    const isFloat = (type: SafetensorsDType): boolean => ['F32', 'F16', 'BF16'].includes(type);
    fc.pre(dtype !== before && !(isFloat(dtype) && isFloat(before)) && !(dtype === 'U32' && before === 'I32'));
    model.tensors.set(name, zeros(dtype, shape));
    return [name];
  }),
  reshaped: fc
    .tuple(fc.nat(), fc.constantFrom('turned', 'flat', 'deep', 'longer', 'empty'))
    .map(([at, how]) => (model) => {
      const name = pick(model, at);
      const { shape, dtype, bytes } = model.tensors.get(name)!;
      const shapes: Record<string, number[]> = {
        ...{ turned: [...shape].reverse(), flat: [shape.reduce((a, b) => a * b, 1)], deep: [...shape, 1] },
        ...{ longer: [shape[0] + 1, ...shape.slice(1)], empty: [0, ...shape.slice(1)] },
      };
      fc.pre(shapes[how].join() !== shape.join());
      const isCut = how === 'longer' || how === 'empty';
      model.tensors.set(name, isCut ? zeros(dtype, shapes[how]) : { dtype, shape: shapes[how], bytes });
      return [name];
    }),
  added: fc
    .tuple(
      fc.nat(),
      fc.constantFrom('own', 'bias', 'g_idx', 'qweight', 'upper', 'layer', 'expert'),
      fc.string({ minLength: 1, maxLength: 30, unit: 'grapheme' }),
      fc.constantFrom(...dtypes),
      fc.array(fc.nat(9), { maxLength: 3 }),
    )
    .map(([at, how, own, dtype, shape]) => (model) => {
      const name = pick(model, at);
      const names: Record<string, string> = {
        ...{
          own,
          upper: name.toUpperCase(),
          layer: name.replace(/\.\d+\./, '.77.'),
          expert: name.replace(/\.\d+\.w/, '.99.w'),
        },
      };
      const added = names[how] ?? name.replace(/[^.]*$/, how);
      fc.pre(!model.tensors.has(added) && added !== '__metadata__');
      model.tensors.set(added, zeros(dtype, shape));
      return [added];
    }),
};

/** Names in notes may be told by their kind: `model.layers.*.x`. */
const kindOf = (name: string): string => name.replace(/\.\d+(?=\.|$)/g, '.*');

const moduleOf = (tensor: string): string => tensor.replace(/[^.]*$/, '');

async function holds(original: FolderModel, expected: Float32Array, change: Change): Promise<void> {
  const model = copyOf(original);
  const names = change(model);
  const isTold = (text: string): boolean =>
    names.flatMap((name) => [name, kindOf(name)]).some((part) => text.includes(part));
  const folder = await folders.write(model);
  const opening = await openModel(folder).catch((error: unknown) => error as Error);
  if (opening instanceof Error) {
    expect(opening.name).toBe('UserError');
    expect(opening.message).toContain(folder);
    // Of a packed weight the message may name the module, or another of its tensors.
    expect(isTold(opening.message) || names.some((name) => opening.message.includes(moduleOf(name)))).toBe(true);
    const out = folders.vacant();
    for (const to of ['hf', 'gguf'] as const) {
      const path = to === 'gguf' ? `${out}.gguf` : out;
      await expect(exportModel(folder, { to, out: path })).rejects.toThrow(opening.message);
      expect(existsSync(path)).toBe(false);
    }
    await expect(logits(folder)).rejects.toThrow(opening.message);
    return;
  }
  await using opened = opening;
  // What is noted is left out of what is computed and written; what is not noted must have changed nothing.
  expectClose(await logits(folder), expected, 0);
  // GPTQ's groups follow each other where nothing says otherwise; scales of whole rows are a vector or a matrix.
  if (opened.notes.length) expect(isTold(opened.notes.join())).toBe(true);
  else expect(names[0]).toMatch(/(g_idx|weight_scale)$/);
  const out = folders.vacant();
  await writeDropped(opened, { attention: [], mlp: [] }, out);
  await using written = await openModel(out);
  expect(written.notes).toEqual([]);
}

const models: Record<string, () => Promise<FolderModel>> = {
  'a llama': () => randomModel(tiny),
  'a tied llama': () => randomModel({ ...tiny, tieWordEmbeddings: true }),
  'a mixture': () => randomModel(tinyMixture),
  'a llama in GPTQ': async () => packedModel(await randomModel(tiny), 'gptq').model,
  'a llama in AWQ': async () => packedModel(await randomModel(tiny), 'awq').model,
  'a mixture in compressed-tensors': async () =>
    packedModel(await randomModel(tinyMixture), 'compressed-tensors').model,
};

describe.each(Object.keys(models))('a tensor of %s that is', (which) => {
  it.each(Object.keys(changes))('%s', async (how) => {
    const original = await models[which]();
    const expected = await logits(await folders.write(original));
    await fc.assert(
      fc.asyncProperty(changes[how], (change) => holds(original, expected, change)),
      { numRuns: 25 },
    );
  });
});

it('of any family and any sizes loads as it is, without a note', async () => {
  await fc.assert(
    fc.asyncProperty(modelSpecs({ maxLayers: 2 }), async ({ config, seed }) => {
      const model = await randomModel({ ...config, vocabSize: vocabulary }, seed);
      await using opened = await openModel(await folders.write(model));
      expect(opened.notes).toEqual([]);
      expect(opened.source.tensorNames().sort()).toEqual([...model.tensors.keys()].sort());
    }),
    { numRuns: 40 },
  );
});
