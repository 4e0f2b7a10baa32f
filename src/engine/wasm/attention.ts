import type { AttentionSpec, Operand } from '../backend.js';
import type { Batch, Sequence } from '../batch.js';
import type { KvCache } from '../kvCache.js';
import { roundUp } from './allocator.js';
import { headBytes, keyBytes, layoutOf, type Layout } from './cacheLayout.js';
import { attention as kernels } from './kernels/attention.js';
import { halfFloat } from './kernels/halfFloat.js';
import { softmax } from './kernels/softmax.js';
import { product } from './linear.js';
import type { Machine } from './machine.js';
import { addressOf, type Block, type Frame } from './memory.js';
import { packLeftInto, rowMajor, type Panels } from './panels.js';
import { attentionKeys, attentionRows } from './tilePlan.js';

/** Keys and values of one head as float32 panels: those from `first` on. */
interface Span {
  readonly keys: Panels;
  readonly values: Panels;
}

export function attention(
  machine: Machine,
  q: Operand,
  k: Operand,
  v: Operand,
  cache: KvCache | undefined,
  layer: number,
  batch: Batch,
  spec: AttentionSpec,
): Block {
  using results = machine.memory.frame();
  const output = results.block(4 * q.shape[0] * q.shape[1]);
  let row = 0;
  for (const sequence of batch.sequences) {
    using frame = machine.memory.frame();
    const layout = layoutOf(
      cache?.spec.capacity ?? sequence.length,
      spec.keyValueHeads,
      spec.headDim,
      cache?.spec.dtype ?? 'float32',
    );
    const perSlot = layout.heads * headBytes(layout);
    const memory = cache ? (cache.storage(layer) as Block).address + sequence.slot * perSlot : frame.take(perSlot);
    const positions = frame.ints(batch.positions.subarray(row, row + sequence.length));
    const at = (operand: Operand): number => addressOf(operand) + 4 * row * operand.shape[1];
    append(machine, at(k), at(v), sequence, memory, layout, positions, spec);
    attend(machine, at(q), sequence, memory, layout, positions, spec, output.address + 4 * row * q.shape[1]);
    row += sequence.length;
  }
  return results.keep(output);
}

/** Rotated rows [tokens, heads, d] as [heads / group][tokens][group][d]. */
function rotated(
  machine: Machine,
  frame: Frame,
  source: number,
  tokens: number,
  heads: number,
  group: number,
  positions: number,
  spec: AttentionSpec,
): number {
  const { headDim: size, rotary } = spec;
  const target = frame.take(4 * tokens * heads * size);
  const [cos, sin] = rotary ? [addressOf(rotary.cos), addressOf(rotary.sin)] : [0, 0];
  machine.kernels(kernels).rotate({ source, target, tokens, heads, group, size, positions, cos, sin });
  return target;
}

function append(
  machine: Machine,
  k: number,
  v: number,
  sequence: Sequence,
  memory: number,
  layout: Layout,
  positions: number,
  spec: AttentionSpec,
): void {
  using frame = machine.memory.frame();
  const { heads, size, capacity, bytes } = layout;
  const { start, length: tokens } = sequence;
  const launch = machine.kernels(kernels);
  const [appendKeys, appendValues] =
    bytes === 4 ? [launch.appendKeys, launch.appendValues] : [launch.appendKeysHalf, launch.appendValuesHalf];
  const keys = rotated(machine, frame, k, tokens, heads, 1, positions, spec);
  const panelHeadStride = headBytes(layout);
  const [panels, valuePanels] = [memory, memory + keyBytes(layout)];
  appendKeys({
    source: keys,
    panels,
    heads,
    tokens,
    start,
    size,
    headStride: 4 * tokens * size,
    tokenStride: 4 * size,
    panelHeadStride,
    capacity,
  });
  appendValues({
    source: v,
    panels: valuePanels,
    heads,
    tokens,
    start,
    size,
    headStride: 4 * size,
    tokenStride: 4 * heads * size,
    panelHeadStride,
    capacity,
  });
}

function attend(
  machine: Machine,
  q: number,
  sequence: Sequence,
  memory: number,
  layout: Layout,
  positions: number,
  spec: AttentionSpec,
  output: number,
): void {
  using frame = machine.memory.frame();
  const { start, length } = sequence;
  const group = spec.heads / spec.keyValueHeads;
  const { size } = layout;
  const window = Math.min(spec.window ?? 0x7fffffff, 0x7fffffff);
  /** The first key that a query sees, down to a panel's first. */
  const firstKey = (position: number): number => Math.max(0, (position + 1 - window) & ~7);
  const queries = rotated(machine, frame, q, length, spec.heads, group, positions, spec);
  const step = Math.max(1, Math.floor(attentionRows / group));
  const room = roomFor(frame, Math.min(step, length) * group, start + length - firstKey(start), layout);
  for (let head = 0; head < layout.heads; head++) {
    const span = spanOf(machine, room, memory + head * headBytes(layout), layout, firstKey(start), start + length);
    for (let token = 0; token < length; token += step) {
      const tokens = Math.min(step, length - token);
      const position = start + token;
      const first = firstKey(position);
      const block = {
        tokens,
        group,
        position,
        first,
        count: position + tokens - first,
        skipped: first - firstKey(start),
      };
      const target = output + 4 * (token * spec.heads + head * group) * size;
      attendBlock(
        machine,
        room,
        queries + 4 * (head * length + token) * group * size,
        block,
        span,
        window,
        spec,
        target,
      );
    }
  }
}

/** Addresses of what a block of queries needs, for all blocks in turn. */
interface Room {
  readonly left: number;
  readonly scores: number;
  readonly inverses: number;
  readonly sums: number;
  /** Keys and values of a 16-bit cache as float32. */
  readonly wideKeys: number;
  readonly wideValues: number;
}

function roomFor(frame: Frame, rows: number, keys: number, { size, padded, bytes }: Layout): Room {
  const width = roundUp(keys, 8);
  const [wideKeys, wideValues] = bytes === 2 ? [frame.take(4 * width * size), frame.take(4 * width * padded)] : [0, 0];
  return {
    left: frame.take(4 * rows * Math.max(width, size)),
    scores: frame.take(4 * rows * width),
    inverses: frame.take(4 * rows),
    sums: frame.take(4 * rows * padded),
    wideKeys,
    wideValues,
  };
}

/** The keys and values of [from, to), `from` a multiple of 8: in place, or widened to float32. */
function spanOf(
  machine: Machine,
  { wideKeys, wideValues }: Room,
  head: number,
  layout: Layout,
  from: number,
  to: number,
): Span {
  const { size, padded, capacity, bytes } = layout;
  const values = head + keyBytes(layout);
  if (bytes === 4)
    return {
      keys: { address: head + 4 * from * size, rows: to - from, depth: size, stride: 32 * size, stored: 'float32' },
      values: { address: values + 32 * from, rows: padded, depth: to - from, stride: 32 * capacity, stored: 'float32' },
    };
  const count = roundUp(to - from, 8);
  const { widenFloat16 } = machine.kernels(halfFloat);
  widenFloat16({ source: head + 2 * from * size, target: wideKeys, count: count * size });
  for (let panel = 0; panel < padded / 8; panel++)
    widenFloat16({
      source: values + 16 * (panel * capacity + from),
      target: wideValues + 32 * panel * count,
      count: 8 * count,
    });
  return {
    keys: { address: wideKeys, rows: to - from, depth: size, stride: 32 * size, stored: 'float32' },
    values: { address: wideValues, rows: padded, depth: to - from, stride: 32 * count, stored: 'float32' },
  };
}

interface QueryBlock {
  readonly tokens: number;
  /** Query heads that share the keys. */
  readonly group: number;
  /** Of the first token. */
  readonly position: number;
  /** The first key that any of its queries sees, and how many follow. */
  readonly first: number;
  readonly count: number;
  /** Keys of the span before the first. */
  readonly skipped: number;
}

/** Scores, weights and their sum of values for a block of queries [tokens x group, d], which all fit the caches. */
function attendBlock(
  machine: Machine,
  room: Room,
  queries: number,
  block: QueryBlock,
  span: Span,
  window: number,
  spec: AttentionSpec,
  target: number,
): void {
  const { tokens, group, position, first, count, skipped } = block;
  const { scores, inverses, sums } = room;
  const rows = tokens * group;
  const size = spec.headDim;
  // Columns beyond the last key are computed with the last panel and cleared with what lies in the future.
  const width = roundUp(count, 8);
  const keys = { ...span.keys, address: span.keys.address + 4 * skipped * size, rows: width };
  product(machine, packLeftInto(machine, rowMajor(queries, rows, size), room.left), rows, keys, scores);
  const { scale, softCap = 0 } = spec;
  machine
    .kernels(softmax)
    .causalWeights({ scores, inverses, rows, width, group, position, firstKey: first, window, scale, softCap });
  const weights = packLeftInto(
    machine,
    { address: scores, rows, depth: count, rowStride: 4 * width, depthStride: 4 },
    room.left,
  );
  const { rows: padded, address } = span.values;
  // Keys are split where their positions say, not where the block starts: a query's sum is the same in any block.
  const split = { part: attentionKeys, phase: first % attentionKeys };
  product(
    machine,
    weights,
    rows,
    { ...span.values, address: address + 32 * skipped, depth: count },
    sums,
    4 * padded,
    split,
  );
  machine.kernels(kernels).finish({
    source: sums,
    inverses,
    target,
    tokens,
    group,
    size,
    sourceStride: 4 * padded,
    targetStride: 4 * spec.heads * size,
  });
}
