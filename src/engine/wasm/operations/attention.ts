import type { AttentionInputs, AttentionSpec, Operand } from '../../backend.js';
import { asking, type Sequence } from '../../batch.js';
import { attention as kernels } from '../kernels/attentionRows.js';
import { halfFloat } from '../kernels/float16.js';
import { slopedSoftmax, softmax } from '../kernels/softmax.js';
import { headBytes, keyBytes, layoutOf, type Layout } from '../layouts/cacheLayout.js';
import { panelRows, type Panels } from '../layouts/panels.js';
import { roundUp } from '../layouts/roundUp.js';
import { attentionKeys, attentionRows, partOf } from '../layouts/tilePlan.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Block, type Frame } from '../runtime/memory.js';
import {
  firstUnit,
  perUnit,
  plus,
  unitCount,
  type Argument,
  type Call,
  type Task,
  type Varying,
} from '../runtime/task.js';
import { attendTokens, isDecode } from './attendTokens.js';
import { chunks, productCalls } from './linear.js';
import { packLeftCalls } from './packRows.js';

/** The right side of a product; its address `at` may differ by head or thread. */
type Side = Omit<Panels, 'address'> & { readonly at: Argument };

/** Keys and values of one head as float32 panels, from some first key on. */
interface Span {
  readonly keys: Side;
  readonly values: Side;
}

export function attention(machine: Machine, inputs: AttentionInputs): Block {
  const { q, k, v, cache, layer, batch, spec } = inputs;
  using results = machine.memory.frame();
  const output = results.block(4 * q.shape[0] * q.shape[1]);
  if (cache) attendTokens(machine, inputs, cache, output.address);
  let row = 0;
  let query = 0;
  for (const sequence of batch.sequences) {
    const asked = asking(batch, sequence, q.shape[0]);
    const [first, firstQuery] = [row, query];
    row += sequence.length;
    query += asked.length;
    if (cache && isDecode(sequence, spec)) continue;
    using frame = machine.memory.frame();
    const layout = layoutOf(
      cache?.spec.capacity ?? sequence.length,
      spec.keyValueHeads,
      spec.headDim,
      cache?.spec.dtype ?? 'float32',
    );
    const perSlot = layout.heads * headBytes(layout);
    const memory = cache ? (cache.storage(layer) as Block).address + sequence.slot * perSlot : frame.take(perSlot);
    const positions = frame.ints(batch.positions.subarray(first, row));
    const at = (operand: Operand): number => addressOf(operand) + 4 * first * operand.shape[1];
    append(machine, at(k), at(v), sequence, memory, layout, positions, spec);
    const [of, later] = [4 * firstQuery * q.shape[1], 4 * (asked.start - sequence.start)];
    attend(machine, addressOf(q) + of, asked, memory, layout, positions + later, spec, output.address + of);
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
  const values = {
    source: perUnit(source, 4 * heads * size),
    target: perUnit(target, 4 * group * size),
    count: unitCount,
    tokens,
    heads,
    group,
    size,
    positions: perUnit(positions, 4),
    half: rotary?.cos.shape[1] ?? 0,
    cos,
    sin,
  };
  const rotate = machine.calls(kernels).rotate(values);
  machine.run([machine.rowsTask(tokens, 4 * heads * size, rotate)]);
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
  const { appendKeys, appendKeysHalf, appendValues, appendValuesHalf } = machine.calls(kernels);
  const keys = rotated(machine, frame, k, tokens, heads, 1, positions, spec);
  const panelHeadStride = headBytes(layout);
  const common = { heads, tokens: unitCount, start: plus(firstUnit, start), size, panelHeadStride, capacity };
  const [ofKeys, ofValues] = [4 * size, 4 * heads * size];
  const keysCall = (bytes === 4 ? appendKeys : appendKeysHalf)({
    ...common,
    source: perUnit(keys, ofKeys),
    panels: memory,
    headStride: ofKeys * tokens,
    tokenStride: ofKeys,
  });
  const valuesCall = (bytes === 4 ? appendValues : appendValuesHalf)({
    ...common,
    source: perUnit(v, ofValues),
    panels: memory + keyBytes(layout),
    headStride: 4 * size,
    tokenStride: ofValues,
  });
  machine.run([keysCall, valuesCall].map((call) => machine.rowsTask(tokens, 8 * heads * size, call)));
}

/**
 * Attention of one sequence. A unit of work is one head of a block of queries. Keys and values of a 16-bit cache become
 * float32 first: once before all blocks if there are several, else by the thread that computes the head.
 */
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
  const { size, heads } = layout;
  const window = Math.min(spec.window ?? 0x7fffffff, 0x7fffffff);
  /** The first key that a query sees, rounded down to its panel's first. */
  const firstKey = (position: number): number => Math.max(0, (position + 1 - window) & -panelRows);
  const queries = rotated(machine, frame, q, length, spec.heads, group, positions, spec);
  const step = Math.max(1, Math.floor(attentionRows / group));
  const [from, to] = [firstKey(start), start + length];
  const scratch = scratchOf(machine, frame, Math.min(step, length) * group, to - from, layout);
  /** A task for each block of queries, whose units are the heads; each unit makes the calls `before` first. */
  const blocks = (span: Span, before: readonly Call[]): Task[] => {
    const tasks: Task[] = [];
    chunks(length, step, (token, tokens) => {
      const first = firstKey(start + token);
      const block = {
        tokens,
        group,
        position: start + token,
        first,
        count: start + token + tokens - first,
        skipped: first - from,
      };
      const at = perUnit(queries + 4 * token * group * size, 4 * length * group * size);
      const target = perUnit(output + 4 * token * spec.heads * size, 4 * group * size);
      const calls = [...before, ...blockCalls(machine, scratch, at, block, span, window, spec, target)];
      tasks.push({ units: heads, chunk: 1, work: 2 * heads * tokens * group * block.count * size, calls });
    });
    // Later blocks have more keys. The long ones come first, so that threads end at about the same time.
    return tasks.reverse();
  };
  if (layout.bytes === 4) return machine.run(blocks(spanInPlace(memory, layout, from, to), []));
  const halves = perUnit(memory, headBytes(layout));
  const [wideKeys, wideValues] = [size, layout.padded].map((width) => 4 * width * roundUp(to - from, panelRows));
  if (length <= step) {
    const span = wideSpan(
      machine.scratch.take(frame, wideKeys),
      machine.scratch.take(frame, wideValues),
      layout,
      from,
      to,
    );
    return machine.run(blocks(span, widenCalls(machine, halves, layout, from, to, span)));
  }
  const room = (bytes: number): Varying => ({ base: frame.take(heads * bytes), unit: bytes });
  const span = wideSpan(room(wideKeys), room(wideValues), layout, from, to);
  const work = 8 * heads * (to - from);
  const widening = widenCalls(machine, halves, layout, from, to, span);
  machine.run(widening.map((call) => ({ units: heads, chunk: 1, work, calls: [call] })));
  machine.run(blocks(span, []));
}

/** Scratch of a thread for one block of queries; the next block uses it again. */
interface Scratch {
  readonly left: Argument;
  readonly scores: Argument;
  readonly inverses: Argument;
  readonly sums: Argument;
}

function scratchOf(machine: Machine, frame: Frame, rows: number, keys: number, { size, padded }: Layout): Scratch {
  const width = roundUp(keys, panelRows);
  const scratch = (floats: number): Varying => machine.scratch.take(frame, 4 * floats);
  return {
    left: scratch(rows * Math.max(width, size)),
    scores: scratch(rows * width),
    inverses: scratch(rows),
    sums: scratch(rows * padded),
  };
}

/** The keys and values of [from, to), `from` a multiple of 8, in a float32 cache; a unit is a head. */
function spanInPlace(memory: number, layout: Layout, from: number, to: number): Span {
  const { size, padded, capacity } = layout;
  const [keys, values] = [memory + 4 * from * size, memory + keyBytes(layout) + 4 * panelRows * from];
  const stride = headBytes(layout);
  return {
    keys: { at: perUnit(keys, stride), rows: to - from, depth: size, stride: 4 * panelRows * size, stored: 'float32' },
    values: {
      at: perUnit(values, stride),
      rows: padded,
      depth: to - from,
      stride: 4 * panelRows * capacity,
      stored: 'float32',
    },
  };
}

/** The same of a 16-bit cache, widened to `keys` and `values`. */
function wideSpan(keys: Argument, values: Argument, { size, padded }: Layout, from: number, to: number): Span {
  const count = roundUp(to - from, panelRows);
  return {
    keys: { at: keys, rows: to - from, depth: size, stride: 4 * panelRows * size, stored: 'float32' },
    values: { at: values, rows: padded, depth: to - from, stride: 4 * panelRows * count, stored: 'float32' },
  };
}

/** Widens one head's keys, and its values by panels of 8 elements. */
function widenCalls(
  machine: Machine,
  head: Argument,
  layout: Layout,
  from: number,
  to: number,
  { keys, values }: Span,
): Call[] {
  const { size, padded, capacity } = layout;
  const count = roundUp(to - from, panelRows);
  const { widenFloat16 } = machine.calls(halfFloat);
  const firstValue = plus(head, keyBytes(layout) + 2 * panelRows * from);
  return [
    widenFloat16({ source: plus(head, 2 * from * size), target: keys.at, count: count * size }),
    ...Array.from({ length: padded / panelRows }, (_, panel) =>
      widenFloat16({
        source: plus(firstValue, 2 * panelRows * panel * capacity),
        target: plus(values.at, 4 * panelRows * panel * count),
        count: panelRows * count,
      }),
    ),
  ];
}

interface QueryBlock {
  readonly tokens: number;
  /** Query heads that share the keys. */
  readonly group: number;
  /** Position of the first token. */
  readonly position: number;
  /** The first key that any of its queries sees, and how many follow. */
  readonly first: number;
  readonly count: number;
  /** Keys of the span that come before `first`. */
  readonly skipped: number;
}

/**
 * Scores, weights and weighted sums of values for a block of queries [tokens x group, d]. All of them fit the caches.
 */
function blockCalls(
  machine: Machine,
  { scores, inverses, sums, left: packed }: Scratch,
  queries: Argument,
  block: QueryBlock,
  { keys, values }: Span,
  window: number,
  spec: AttentionSpec,
  target: Argument,
): Call[] {
  const { tokens, group, position, first, count, skipped } = block;
  const rows = tokens * group;
  const size = spec.headDim;
  // Whole panels: columns beyond the last key are computed too, and cleared together with keys that lie in the future.
  const width = roundUp(count, panelRows);
  const { scale, softCap = 0, slopes } = spec;
  const weighing = { scores, inverses, rows, width, group, position, firstKey: first, window, scale, softCap };
  const left = packLeftCalls(machine, queries, rows, size, 4 * size, packed);
  const weights = packLeftCalls(machine, scores, rows, count, 4 * width, packed);
  return [
    ...left.calls,
    ...productCalls(machine, {
      left: left.left,
      rows,
      right: { ...keys, rows: width },
      address: plus(keys.at, 4 * skipped * size),
      c: scores,
      rowStride: 4 * width,
      split: { part: partOf(size, machine.plan), phase: 0 },
    }),
    slopes
      ? machine.calls(slopedSoftmax).causalWeights({ ...weighing, slopes: perUnit(addressOf(slopes), 4 * group) })
      : machine.calls(softmax).causalWeights(weighing),
    ...weights.calls,
    ...productCalls(machine, {
      left: weights.left,
      rows,
      right: { ...values, depth: count },
      address: plus(values.at, 4 * panelRows * skipped),
      c: sums,
      rowStride: 4 * values.rows,
      // Sums are split at fixed positions of keys and not counted from the block's first key, so that a query's sum is
      // the same in any block.
      split: { part: attentionKeys, phase: first % attentionKeys },
    }),
    machine.calls(kernels).finish({
      source: sums,
      inverses,
      target,
      tokens,
      group,
      size,
      sourceStride: 4 * values.rows,
      targetStride: 4 * spec.heads * size,
    }),
  ];
}
