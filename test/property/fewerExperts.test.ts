/** Mixtures without some of their experts, of every family and in both forms of files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, createEngine, decodeFloats, arraySource, type Engine } from '../../src/engine/index.js';
import {
  Model,
  describeConfig,
  families,
  fewerExperts,
  hasExperts,
  openModel,
  type ExpertDrops,
  type ModelDescription,
  type OpenedModel,
  type Parameters,
  type PartialConfig,
} from '../../src/models/index.js';
import { scoreImportance } from '../../src/drop/index.js';
import { modelConfigs } from '../../src/testing/index.js';
import { expectClose } from '../support/expectClose.js';
import { writeRandomFolder } from '../unit/export/randomFolder.js';

const mixtureTypes = families.filter(({ gguf }) => gguf.experts).flatMap(({ types }) => types);

let root: string, engine: Engine;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'llm-drop-experts-'));
  engine = await createEngine('wasm');
});
afterAll(() => {
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
  rmSync(root, { recursive: true, force: true });
});

let made = 0;
async function openRandom({ config, seed }: Pick<Case, 'config' | 'seed'>): ReturnType<typeof openModel> {
  const folder = join(root, `model-${made++}`);
  await writeRandomFolder(folder, config, { seed });
  return openModel(folder);
}

interface Case {
  readonly config: PartialConfig;
  readonly seed: number;
  readonly drops: ExpertDrops;
}

/** A random mixture and its model folder's seed. */
const mixtures = fc
  .record({ config: modelConfigs({ types: mixtureTypes }), seed: fc.nat(1e6) })
  .filter(({ config }) => hasExperts(describeConfig(config)));

/** A random mixture and as many experts of each of its mixtures as leave enough. */
const cases = mixtures.chain(({ config, seed }) => {
  const [experts, topK] = [config.numLocalExperts!, config.numExpertsPerTok!];
  const layers = describeConfig(config).layers;
  return fc
    .integer({ min: 0, max: experts - topK })
    .chain((count) =>
      fc.tuple(
        ...layers.map(({ mlp }) =>
          mlp.kind === 'mixture'
            ? fc.shuffledSubarray([...Array(experts).keys()], { minLength: count, maxLength: count })
            : fc.constant(null),
        ),
      ),
    )
    .map((drops): Case => ({ config, seed, drops }));
});

async function logitsOf(
  description: ModelDescription,
  parameters: Parameters,
  tokens: readonly number[],
): Promise<Float32Array> {
  using model = new Model(engine, description, parameters);
  await model.load();
  using _scope = engine.scope();
  return await engine.readFloats(model.logits(model.forward(createBatch([tokens]))));
}

/** The same model made by hand: each name's numbers are those of the expert that moved there. */
async function byHand({ source }: OpenedModel, { config, drops }: Case): Promise<[ModelDescription, Parameters]> {
  const staying = drops.map((gone) => [...Array(config.numLocalExperts!).keys()].filter((e) => !gone?.includes(e)));
  const routers = new Map<string, Parameters['source']>();
  for (const name of source.tensorNames()) {
    const [, layer] = /^model\.layers\.(\d+)\.\w+\.gate\.weight$/.exec(name) ?? [];
    if (layer === undefined) continue;
    const stored = source.source(name);
    const { shape, dtype } = stored;
    const rows = decodeFloats((await stored.readRows(0, shape[0])).slice(), dtype);
    const left = staying[Number(layer)];
    const values = left.flatMap((expert) => [...rows.subarray(expert * shape[1], (expert + 1) * shape[1])]);
    routers.set(name, () => arraySource(Float32Array.from(values), [left.length, shape[1]], { name }));
  }
  const from = (name: string): string =>
    name.replace(/(?<=layers\.(\d+)\..*experts\.)\d+/, (expert, layer: string) =>
      String(staying[Number(layer)][Number(expert)]),
    );
  const left = config.numLocalExperts! - (drops.find((gone) => gone)?.length ?? 0);
  return [
    describeConfig({ ...config, numLocalExperts: left }),
    {
      folder: 'by hand',
      has: (name) => source.has(from(name)),
      source: (name) => routers.get(name)?.(name) ?? source.source(from(name)),
    },
  ];
}

describe('a mixture without some experts', () => {
  it('is the model of those that stay, to the last bit', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.array(fc.nat(4), { minLength: 1, maxLength: 9 }), async (one, tokens) => {
        await using opened = await openRandom(one);
        const smaller = await fewerExperts(opened, one.drops);
        const [description, parameters] = await byHand(opened, one);
        expect(await logitsOf(smaller.description, smaller.source, tokens)).toEqual(
          await logitsOf(description, parameters, tokens),
        );
      }),
      { numRuns: 30 },
    );
  });

  it('computes the same for tokens that visit none of those that go, where weights are divided by their sum', async () => {
    const normalised = mixtures.filter(({ config }) =>
      describeConfig(config).layers.every(({ mlp }) => mlp.kind === 'gated' || mlp.normalise),
    );
    let dropped = 0;
    await fc.assert(
      fc.asyncProperty(normalised, fc.array(fc.nat(4), { minLength: 1, maxLength: 3 }), async (one, tokens) => {
        await using opened = await openRandom(one);
        using model = new Model(engine, opened.description, opened.source);
        await model.load();
        const { experts: works = [] } = await scoreImportance(model, [Int32Array.from(tokens)]);
        const unvisited = works.map((of) => of && [...of.keys()].filter((expert) => of[expert].visits === 0));
        const count = Math.min(...unvisited.flatMap((of) => of?.length ?? []));
        dropped += count;
        const smaller = await fewerExperts(
          opened,
          unvisited.map((of) => of && of.slice(0, count)),
        );
        const [before, after] = [
          await logitsOf(opened.description, opened.source, tokens),
          await logitsOf(smaller.description, smaller.source, tokens),
        ];
        // The softmax has fewer terms, so that each weight is rounded otherwise: some parts of 2^24, through few layers.
        expectClose(after, before, 1e-4);
      }),
      { numRuns: 25 },
    );
    expect(dropped).toBeGreaterThan(0);
  });
});
