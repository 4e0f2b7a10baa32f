import { UserError } from '../engine/index.js';
import { fingerprintDifferences, type Fingerprint } from '../progress/index.js';
import type { ScoreSums } from './scoreSums.js';

/** Which of a text's rows: every `count`-th from the `index`-th, which counts from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** What a scoring of one shard hands to the merge. */
export interface ShardSums {
  readonly shard: Shard;
  /** Fingerprint of all shards' rows together, the same in each shard. */
  readonly fingerprint: Fingerprint;
  readonly scored: ScoreSums;
  /** For messages: the file. */
  readonly where: string;
}

/** Rows index - 1, index - 1 + count, ...: parts of one text are much alike, so each shard sees all of it. */
export function shardRows(rows: readonly Int32Array[], { index, count }: Shard): Int32Array[] {
  if (!(Number.isInteger(index) && Number.isInteger(count) && index >= 1 && index <= count))
    throw new UserError(`there is no shard ${index} of ${count}`);
  if (count > rows.length)
    throw new UserError(`${count} shards are more than there are rows: ${rows.length}`, {
      hint: 'each shard needs a row',
    });
  return rows.filter((_, row) => row % count === index - 1);
}

/**
 * The sums of all rows, in the order of the shards, whatever the order they are given in. UserError where they are not
 * all shards of one run, each once.
 */
export function mergeShards(shards: readonly ShardSums[]): ScoreSums {
  if (shards.length === 0) throw new UserError('there is nothing to merge');
  const [first] = shards;
  for (const shard of shards) checkBelongs(shard, first);
  const { count } = first.shard;
  const ordered = Array.from({ length: count }, (_, i) => {
    const [found, twice] = shards.filter(({ shard }) => shard.index === i + 1);
    if (twice) throw new UserError(`${found.where} and ${twice.where} are both shard ${i + 1} of ${count}`);
    return found as ShardSums | undefined;
  });
  const missing = ordered.flatMap((shard, i) => (shard ? [] : [i + 1]));
  if (missing.length)
    throw new UserError(
      `${missing.length === 1 ? 'shard' : 'shards'} ${missing.join(', ')} of ${count} ${missing.length === 1 ? 'is' : 'are'} missing`,
      {
        hint: 'give the results of all shards',
      },
    );
  const parts = ordered.map((shard) => shard!.scored);
  const total = (of: (part: ScoreSums) => number): number => parts.reduce((sum, part) => sum + of(part), 0);
  return {
    ...parts[0],
    samples: total(({ samples }) => samples),
    tokens: total(({ tokens }) => tokens),
    sums: parts[0].sums.map((_, i) => total(({ sums }) => sums[i])),
  };
}

function checkBelongs({ shard, fingerprint, scored, where }: ShardSums, first: ShardSums): void {
  if (shard.count !== first.shard.count)
    throw new UserError(`${where} is one of ${shard.count} shards, but ${first.where} one of ${first.shard.count}`);
  const changed = fingerprintDifferences(first.fingerprint, fingerprint);
  if (changed.length)
    throw new UserError(`${where} does not belong to ${first.where}: they differ in ${changed.join(', ')}`, {
      hint: 'all shards are scored with the same model, text, options, backend and version',
    });
  if (scored.sums.length !== first.scored.sums.length)
    throw new UserError(`${where} holds ${scored.sums.length} sums, but ${first.where} ${first.scored.sums.length}`);
}
