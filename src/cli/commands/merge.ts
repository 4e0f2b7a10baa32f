import { claimOutputs, type Output } from '../../checkpoint/index.js';
import type { ScoreRecord } from '../../jobs/index.js';
import { importanceOf, mergeShards, parseShard } from '../../drop/index.js';
import { command } from '../command.js';
import { readJson, writeJson } from '../../jobs/jsonFiles.js';
import { text } from '../options.js';
import { describeScores } from '../scoreText.js';

export const merge = command('merge', 'Join the scores of shards into those of one run', {
  description:
    'Takes the results of score --shard 1/n to n/n, in any order. All must be there once, of the same model, text and ' +
    'options. The sums are joined, so that the scores are those of one run over all rows.',
  inputs: 'results of score --shard i/n --out',
  computes: false,
  options: { out: text('also write the JSON document to this file', 'file') },
  examples: [['merge part-*.json --out importance.json', 'for drop --importance']],
  run: async (o, ui) => {
    const writes: Output[] = o.out === undefined ? [] : [{ path: o.out, kind: 'file', overwrite: true }];
    await using _claim = await claimOutputs({ reads: o.inputs, writes });
    const documents = await Promise.all(o.inputs.map(readJson));
    const merged = mergeShards(documents.map((document, i) => parseShard(document, o.inputs[i])));
    const {
      shard: _shard,
      fingerprint: _fingerprint,
      sums: _sums,
      checksum: _checksum,
      ...first
    } = documents[0] as ScoreRecord;
    const result: ScoreRecord = { ...first, ...importanceOf(merged), date: new Date().toISOString() };
    if (o.out !== undefined) await writeJson(o.out, result);
    ui.show(result, (r) => describeScores(r, ui.width));
  },
});
