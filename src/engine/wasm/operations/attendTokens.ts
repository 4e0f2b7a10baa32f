/**
 * Attention where each sequence has one new token (decoding). Addresses do not depend on how many tokens came before,
 * so that a recorded pass can be replayed.
 */
import type { AttentionInputs, AttentionSpec, Operand } from '../../backend.js';
import type { Batch, Sequence } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import {
  decodeAttention as kernels,
  decodeScratch,
  mostHeadDim,
  partFloats,
  splitKeys,
} from '../kernels/decodeAttention.js';
import { headBytes, keyBytes, layoutOf } from '../layouts/cacheLayout.js';
import { panelRows } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Block } from '../runtime/memory.js';
import { firstUnit, unitCount, type Task } from '../runtime/task.js';

/** Whether these kernels can compute a batch. */
export const isDecode = ({ sequences }: Batch, { headDim }: AttentionSpec): boolean =>
  sequences.every(({ length }) => length === 1) && headDim <= mostHeadDim;

export function attendTokens(
  machine: Machine,
  { q, k, v, layer, batch, spec }: AttentionInputs,
  cache: KvCache,
): Block {
  const { heads: queryHeads, keyValueHeads, headDim, rotary, slopes, scale, softCap = 0 } = spec;
  using frame = machine.memory.frame();
  const output = frame.block(4 * q.shape[0] * q.shape[1]);
  const { dtype } = cache.spec;
  const group = queryHeads / keyValueHeads;
  const padded = roundUp(headDim, panelRows);
  const window = Math.min(spec.window ?? 0x7fffffff, 0x7fffffff);
  const shape = { plan: machine.plan, group, stored: dtype, sloped: Boolean(slopes) };
  const { attend, combine } = machine.calls(kernels(shape));
  const scratch = machine.scratch.take(frame, decodeScratch(group));
  const common = { heads: keyValueHeads, size: headDim, padded, window };
  const [cos, sin] = rotary ? [addressOf(rotary.cos), addressOf(rotary.sin)] : [0, 0];
  const mostSplits = Math.min(Math.ceil(cache.capacityClass / splitKeys), Math.ceil(window / splitKeys) + 1);
  const row = (operand: Operand, index: number): number => addressOf(operand) + 4 * index * operand.shape[1];
  const tasks = batch.sequences.map(({ start }, index): { attending: Task; combining: Task } => {
    const parts = frame.take(4 * mostSplits * keyValueHeads * partFloats(group, padded));
    const where = machine.numbers(frame, batch, cache, ({ sequences, positions }, of) => {
      const { slot, start } = sequences[index];
      const layout = layoutOf(of.spec.capacity, keyValueHeads, headDim, dtype);
      const perHead = headBytes(layout);
      const first = (of.storage(layer) as Block).address + slot * keyValueHeads * perHead;
      return [positions[index], start, first, first + keyBytes(layout), perHead, layout.capacity];
    });
    const units = (sequence: Sequence): number => splitsOf(sequence.start, window) * keyValueHeads;
    const attending = attend({
      ...common,
      first: firstUnit,
      units: unitCount,
      q: row(q, index),
      k: row(k, index),
      v: row(v, index),
      where,
      half: rotary?.cos.shape[1] ?? 0,
      cos,
      sin,
      slopes: slopes ? addressOf(slopes) : 0,
      scale,
      softCap,
      parts,
      scratch,
    });
    const target = output.address + 4 * index * q.shape[1];
    return {
      attending: {
        units: units(batch.sequences[index]),
        unitsOf: ({ sequences }) => units(sequences[index]),
        chunk: 1,
        work: 2 * queryHeads * Math.min(start + 1, window) * headDim,
        calls: [attending],
      },
      combining: {
        units: 1,
        chunk: 1,
        work: queryHeads * headDim,
        calls: [combine({ ...common, parts, where, target })],
      },
    };
  });
  machine.run(tasks.map(({ attending }) => attending));
  machine.run(tasks.map(({ combining }) => combining));
  return frame.keep(output);
}

/** How many splits hold the keys that the token at `start` sees. */
const splitsOf = (start: number, window: number): number =>
  Math.floor(start / splitKeys) - Math.floor(Math.max(0, start + 1 - window) / splitKeys) + 1;
