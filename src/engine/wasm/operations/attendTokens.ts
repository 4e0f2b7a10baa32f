/**
 * Attention of tokens that are the only ones of their sequence (decoding), all of them at once. Addresses do not depend on
 * how many tokens came before, so that a recorded pass can be replayed.
 */
import type { AttentionInputs, AttentionSpec } from '../../backend.js';
import type { Batch, Sequence } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import {
  decodeAttention as kernels,
  decodeScratch,
  mostHeadDim,
  partFloats,
  splitKeys,
  tokenWords,
  touchedKeys,
} from '../kernels/decodeAttention.js';
import { headBytes, keyBytes, layoutOf } from '../layouts/cacheLayout.js';
import { panelRows } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Block } from '../runtime/memory.js';
import { firstUnit, unitCount } from '../runtime/task.js';

/** Whether these kernels attend for a sequence of a batch with a cache, in place of those for many tokens. */
export const isDecode = ({ length }: Sequence, { headDim }: AttentionSpec): boolean =>
  length === 1 && headDim <= mostHeadDim;

/** Writes the rows of `output`, which has those of q, for the sequences that `isDecode` holds for. */
export function attendTokens(
  machine: Machine,
  { q, k, v, layer, batch, spec }: AttentionInputs,
  cache: KvCache,
  output: number,
): void {
  const { heads: queryHeads, keyValueHeads, headDim, rotary, slopes, scale, softCap = 0 } = spec;
  const decoded = batch.sequences.filter((sequence) => isDecode(sequence, spec));
  if (decoded.length === 0) return;
  using frame = machine.memory.frame();
  const { dtype } = cache.spec;
  const group = queryHeads / keyValueHeads;
  const padded = roundUp(headDim, panelRows);
  const window = Math.min(spec.window ?? 0x7fffffff, 0x7fffffff);
  const shape = { plan: machine.plan, group, stored: dtype, sloped: Boolean(slopes) };
  const { attend, combine } = machine.calls(kernels(shape));
  const rows = decoded.length + (batch.padding ?? 0);
  const mostSplits = Math.min(Math.ceil(cache.capacityClass / splitKeys), Math.ceil(window / splitKeys) + 1);
  const parts = frame.take(4 * rows * mostSplits * keyValueHeads * partFloats(group, padded));

  const unitsOf = ({ start }: Sequence): number => splitsOf(start, window) * keyValueHeads;
  const allUnits = ({ sequences }: Batch): number =>
    sequences.reduce((sum, sequence) => sum + (isDecode(sequence, spec) ? unitsOf(sequence) : 0), 0);
  const narrowed = q.shape[0] < k.shape[0];
  const tokens = machine.numbers(frame, batch, cache, ({ sequences, positions }, of) => {
    const layout = layoutOf(of.spec.capacity, keyValueHeads, headDim, dtype);
    const perHead = headBytes(layout);
    const ofLayer = (of.storage(layer) as Block).address;
    const words: number[] = [];
    let [row, unit] = [0, 0];
    sequences.forEach((sequence, index) => {
      if (isDecode(sequence, spec)) {
        const keys = ofLayer + sequence.slot * keyValueHeads * perHead;
        const query = narrowed ? index : row;
        const end = unit + unitsOf(sequence);
        words.push(unit, end, row, query, positions[row], sequence.start);
        words.push(keys, keys + keyBytes(layout), perHead, layout.capacity);
        unit = end;
      }
      row += sequence.length;
    });
    // Rows that a recorded pass has beyond those of this batch: without units, so that they become zeros.
    for (let place = words.length / tokenWords.length; place < rows; place++)
      words.push(unit, unit, place, place, 0, 0, 0, 0, 0, 0);
    return words;
  });
  const [cos, sin] = rotary ? [addressOf(rotary.cos), addressOf(rotary.sin)] : [0, 0];
  const common = { tokens, heads: keyValueHeads, size: headDim, padded, parts };
  const attending = attend({
    ...common,
    first: firstUnit,
    units: unitCount,
    q: addressOf(q),
    k: addressOf(k),
    v: addressOf(v),
    window,
    touched: Math.floor(touchedKeys / rows),
    half: rotary?.cos.shape[1] ?? 0,
    cos,
    sin,
    slopes: slopes ? addressOf(slopes) : 0,
    scale,
    softCap,
    scratch: machine.scratch.take(frame, decodeScratch(group)),
  });
  const seen = decoded.reduce((sum, { start }) => sum + Math.min(start + 1, window), 0);
  machine.run([
    {
      units: allUnits(batch),
      unitsOf: allUnits,
      chunk: 1,
      work: 2 * queryHeads * seen * headDim,
      calls: [attending],
    },
  ]);
  const combining = combine({ ...common, first: firstUnit, count: unitCount, target: output });
  machine.run([machine.rowsTask(rows, queryHeads * headDim, combining)]);
}

/** How many splits hold the keys that the token at `start` sees. */
const splitsOf = (start: number, window: number): number =>
  Math.floor(start / splitKeys) - Math.floor(Math.max(0, start + 1 - window) / splitKeys) + 1;
