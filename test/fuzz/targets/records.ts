/** What the tool writes itself and reads again, and what people write for it: scores, shards, progress, recipes, lists. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { compareResults, parseBenchReport } from '../../../src/bench/index.js';
import { parseLayerList } from '../../../src/cli/layerList.js';
import { exampleRecipe, parseRecipe } from '../../../src/compress/index.js';
import {
  chooseByScores,
  dropMethod,
  expertMethod,
  importanceOf,
  mergeShards,
  parseBudgets,
  parseShard,
  selectExperts,
  type DropMethod,
} from '../../../src/drop/index.js';
import { parseReport } from '../../../src/export/index.js';
import { readJson } from '../../../src/jobs/jsonFiles.js';
import { scoreModel } from '../../../src/jobs/index.js';
import { scoresOf } from '../../../src/jobs/scoresOf.js';
import { parseDropList } from '../../../src/models/drops.js';
import { ProgressFile } from '../../../src/progress/index.js';
import { fromFolder, type Files, type Target } from '../target.js';
import { textModelFiles } from './models.js';

const layers = 3;
const json = JSON.stringify;
const list = [0.5, 0.9, null];
const scores = {
  ...{ metric: 'cosine', samples: 4, length: 16, tokens: 64, drawnFrom: 32 },
  similarity: { attention: list, mlp: list, block: list, attentionBare: list, mlpBare: list },
  blockConsecutive: [
    [0.5, 0.4, 0.3],
    [0.9, 0.8, null],
    [0.7, null, null],
  ],
  experts: [[1, 0].map((visits) => ({ visits, weights: visits / 2, outputs: 2 * visits })), null, null],
};
const methods: readonly DropMethod[] = [
  dropMethod({ target: 'attention', count: 1 }),
  dropMethod({ target: 'mlp', count: 2 }),
  dropMethod({ target: 'joint', count: 2 }),
  dropMethod({ target: 'block', count: 1 }),
  dropMethod({ target: 'block', count: 2, consecutive: true }),
];

const fingerprint = { model: 'a'.repeat(64), rows: 'b'.repeat(64) };
const state = { rows: 3, sums: [0.25, 1.5, -2], done: ['x'] };

const size = { parameters: 100, bytes: 400, kvBytesPerToken: 8 };
const result = {
  ...{ variant: 'whole', test: 'pp16', batch: 1 },
  tokensPerSecond: { median: 10, deviation: 1, samples: [9, 10, 11] },
};

const text = (folder: string, name: string): string => readFileSync(join(folder, name), 'utf8');

export const recordTargets: readonly Target[] = [
  {
    name: 'scores',
    share: 8,
    inputs: async () => [{ 'scores.json': json(scores) }],
    read: async (folder) => {
      const { importance } = await scoresOf(join(folder, 'scores.json'), layers);
      return methods
        .flatMap((method) => {
          const { drops } = chooseByScores(importance, method, { attention: [0], mlp: [] });
          return [...drops.attention, ...drops.mlp];
        })
        .concat(selectExperts(importance.experts ?? [], expertMethod({ count: 1 })).flatMap((gone) => gone ?? []));
    },
  },
  {
    name: 'shards of scores',
    share: 6,
    inputs: async () =>
      fromFolder(await textModelFiles(), async (folder) => {
        const shards = [1, 2].map(async (index) => {
          const out = join(folder, `${index}.json`);
          await scoreModel(join(folder, 'model'), {
            ...{ calibration: [join(folder, 'text.txt')], samples: 4, length: 8, shard: { index, count: 2 }, out },
            ...{ backend: 'reference' },
          });
          return [`${index}.json`, readFileSync(out)];
        });
        return [Object.fromEntries(await Promise.all(shards)) as Files];
      }),
    read: async (folder) => {
      const paths = ['1.json', '2.json'].map((name) => join(folder, name));
      const shards = await Promise.all(paths.map(async (path) => parseShard(await readJson(path), path)));
      return importanceOf(mergeShards(shards)).similarity.attention.map((score) => score ?? 0);
    },
  },
  {
    name: 'progress',
    share: 6,
    inputs: () =>
      fromFolder({}, async (folder) => {
        const path = join(folder, 'run.progress');
        await (await ProgressFile.open(path, fingerprint)).save(state);
        return [{ 'run.progress': readFileSync(path) }];
      }),
    read: async (folder) => {
      const path = join(folder, 'run.progress');
      const { previous } = await ProgressFile.open<unknown>(path, fingerprint);
      if (previous !== undefined && !isDeepStrictEqual(previous, state))
        throw new Error('goes on from what was changed');
    },
  },
  {
    name: 'recipes',
    share: 8,
    inputs: async () => [
      { 'recipe.json': json(exampleRecipe(['text.txt'], layers)) },
      {
        'recipe.json': json({
          ...{
            schema: 'llm-drop/recipe/1',
            drop: { attention: [1], mlp: [0, 2] },
            compensate: { mode: 'all', alpha: 1 },
          },
          calibration: { files: ['a.txt'], samples: 8, length: 32, field: 'text', heldOut: 2 },
          quantize: { method: 'awq', format: 'awq', groupSize: 64, clip: 'none', expertFloor: 8, head: true },
          export: [
            { format: 'gguf', type: 'q8_0' },
            { format: 'hf', zero: true },
          ],
        }),
      },
    ],
    read: async (folder) => {
      const recipe = parseRecipe(await readJson(join(folder, 'recipe.json')));
      // As it is written beside the result.
      parseRecipe(JSON.parse(json(recipe)));
    },
  },
  {
    name: 'records',
    share: 4,
    inputs: async () => [
      {
        'report.json': json({
          before: size,
          after: size,
          loss: { rows: 2, before: 1, after: 2, difference: 1, standardError: null },
          ...{ metric: 'reap', experts: { before: 3, after: 2, drop: [[1], null] } },
        }),
        'bench.json': json({ results: [result, { ...result, variant: 'dropped' }] }),
      },
    ],
    read: async (folder) => {
      const report = parseReport(await readJson(join(folder, 'report.json')), 'report.json');
      const before = parseBenchReport(await readJson(join(folder, 'bench.json')), 'bench.json');
      compareResults(before, before);
      return [...Object.values({ ...report.before, ...report.after }), report.experts?.after ?? 0];
    },
  },
  {
    name: 'lists',
    share: 4,
    inputs: async () => [
      { 'layers.txt': '0,1-2', 'budget.txt': 'decode=0.8,parameters=100M', 'list.json': '[0, true, 2]' },
    ],
    read: async (folder) => {
      const found = parseLayerList(text(folder, 'layers.txt'), '--drop-attn');
      const budgets = parseBudgets(text(folder, 'budget.txt')).map(({ most }) => most);
      return [
        ...found,
        ...budgets,
        ...parseDropList(await readJson(join(folder, 'list.json')), layers, 'drop_attn_list'),
      ];
    },
  },
];
