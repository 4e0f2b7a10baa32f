import { kernel, kernelModule, type Kernel, type Locals, type Variable } from '../compiler/kernel.js';
import { choose, constant, load, type Int, type Value } from '../compiler/language.js';
import { each, element } from '../compiler/loops.js';
import { ofKeys, ofValues, putFloat, putHalf, putRow, rotateRow } from './attentionRows.js';
import { exponential } from './exp.js';
import { eachPanel, panelSums, reader, touch, unitOf, type DecodeShape } from './panelSums.js';
import { weigh, type Slope } from './softmax.js';

/**
 * Keys of one unit of work, split at fixed positions: so many that a thread is worth it, so few that a long context
 * keeps all threads busy. The number depends on nothing, so results do not depend on the number of threads.
 */
export const splitKeys = 256;
/** With fewer keys than this in a pass, caches probably still hold them, and they are not fetched in advance. */
export const touchedKeys = 512;
/** Elements of the largest head that these kernels take. */
export const mostHeadDim = 256;
/**
 * In scratch, bytes from one query to the next, and from one query's weights to the next one's; 8 more of these since a
 * split may begin within a panel.
 */
const queryStride = 4 * mostHeadDim;
const weightStride = 4 * (splitKeys + 8);
/** Queries that are computed together on the same loads: as many as have their sums in registers. */
const mostRows = 4;

/** Scratch of each thread, in bytes. */
export const decodeScratch = (group: number): number => group * (queryStride + weightStride);

/**
 * Floats of a unit's partial result: for each query a sum of values, then for each its largest score and the sum of its
 * weights.
 */
export const partFloats = (group: number, padded: number): number => group * (padded + 2);

/**
 * What kernels read of each token, words in memory since all of it may change from pass to pass: its first unit of work
 * and the end of its units, its row in k and v, its row in q and the result, its position, the number of tokens before it,
 * where its slot's keys and values begin, the bytes of each head's, and the capacity.
 */
export const tokenWords = [
  'first',
  'end',
  'row',
  'query',
  'position',
  'before',
  'keys',
  'values',
  'headBytes',
  'capacity',
] as const;
const tokenBytes = 4 * tokenWords.length;
const word = (token: Int, name: (typeof tokenWords)[number]): Value<'i32'> =>
  load.i32(token, 4 * tokenWords.indexOf(name));

const attendParameters = {
  first: 'i32',
  units: 'i32',
  tokens: 'i32',
  q: 'i32',
  k: 'i32',
  v: 'i32',
  half: 'i32',
  cos: 'i32',
  sin: 'i32',
  slopes: 'i32',
  heads: 'i32',
  size: 'i32',
  padded: 'i32',
  window: 'i32',
  touched: 'i32',
  scale: 'f32',
  softCap: 'f32',
  parts: 'i32',
  scratch: 'i32',
} as const;

const combineParameters = {
  first: 'i32',
  count: 'i32',
  tokens: 'i32',
  parts: 'i32',
  heads: 'i32',
  size: 'i32',
  padded: 'i32',
  target: 'i32',
} as const;

const makeModule = (shape: DecodeShape) =>
  kernelModule('decodeAttention', () => ({
    /**
     * Attention of tokens of different sequences, each over some of its keys, for units of a key-value head and `splitKeys`
     * keys each, those that the window shows: rotates the unit's queries, appends key and value where they belong to its
     * keys, scores, weighs. `tokens` are described by `tokenWords`, in order of their units. Leaves parts,
     * [unit][partFloats], to `combine`. Keys and values of tokens with more than `touched` keys are fetched in advance.
     */
    attend: kernel(attendParameters, (k, p) => emitAttend(k, shape, p)),

    /**
     * Combines the partial results of tokens [first, first + count); `target` are rows [heads group size]. Those of a token
     * without units become zeros.
     */
    combine: kernel(combineParameters, (k, p) => emitCombine(k, shape, p)),
  }));

function emitAttend(k: Kernel, shape: DecodeShape, p: Locals<typeof attendParameters>): void {
  const { group, stored } = shape;
  const put = stored === 'float32' ? putFloat : putHalf;
  const { bytes } = put;
  const { size, scratch } = p;
  const exp = exponential(k, shape.plan.fused);
  // The square root of it goes to the queries and to the scale each, so that neither leaves the range of float32.
  // Weights are at most 1 and take it whole.
  const bias = unitOf(stored);
  const scale = k.let(p.scale.times(Math.sqrt(bias)));
  const slopes = shape.sloped ? p.slopes : undefined;
  const weights = k.let(scratch.plus(group * queryStride));
  const token = k.let(p.tokens);
  k.for(p.first, p.first.plus(p.units), 1, (unit) => {
    k.while(
      () => unit.atLeast(word(token, 'end')),
      () => token.add(tokenBytes),
    );
    const [position, headBytes, capacity] = (['position', 'headBytes', 'capacity'] as const).map((name) =>
      k.let(word(token, name)),
    );
    const end = k.let(word(token, 'before').plus(1));
    const begin = k.let(choose(end.greater(p.window), end.minus(p.window), 0));
    const rotate = (source: Int, target: Int): void =>
      rotateRow(k, p.half, size, source, target, position, p.cos, p.sin);
    const own = k.let(unit.minus(word(token, 'first')));
    const head = k.let(own.remainder(p.heads));
    const split = k.let(own.over(p.heads).plus(begin.over(splitKeys)));
    const from = k.let(split.times(splitKeys).max(begin));
    const to = k.let(split.plus(1).times(splitKeys).min(end));
    const keys = k.let(word(token, 'keys').plus(head.times(headBytes)));
    const values = k.let(word(token, 'values').plus(head.times(headBytes)));
    k.if(to.equals(end), () => {
      const key = k.let(end.minus(1));
      const at = k.let(word(token, 'row').times(p.heads).plus(head).times(size));
      rotate(k.let(element(p.k, at)), scratch);
      putRow(k, put, ofKeys, scratch, keys, key, size, capacity);
      putRow(k, put, ofValues, k.let(element(p.v, at)), values, key, size, capacity);
    });
    const firstQuery = k.let(element(p.q, word(token, 'query').times(p.heads).plus(head).times(group).times(size)));
    for (let row = 0; row < group; row++) {
      const query = k.let(scratch.plus(row * queryStride));
      rotate(k.let(firstQuery.plus(size.times(4 * row))), query);
      if (bias !== 1) each(k, size, [query], (at) => at.store(at.load().times(Math.sqrt(bias))));
    }
    const part = k.let(p.parts.plus(unit.times(p.padded.plus(2)).times(4 * group)));
    const ends = k.let(part.plus(p.padded.times(4 * group)));
    const read = reader(k, stored);
    k.if(end.minus(begin).greater(p.touched), () => {
      touch(k, k.let(keys.plus(from.and(-8).times(size.times(bytes)))), k.let(to.minus(from).times(size.times(bytes))));
      const line = k.let(values.plus(from.times(8 * bytes)));
      k.repeat(k.let(p.padded.shiftRight(3)), () => {
        touch(k, line, k.let(to.minus(from).times(8 * bytes)));
        line.add(capacity.times(8 * bytes));
      });
    });
    // The panel that holds the first key, also where that is not the panel's first.
    const aligned = k.let(from.shiftRight(3));
    for (let row = 0; row < group; row += mostRows) {
      const rows = Math.min(mostRows, group - row);
      const queries = k.let(scratch.plus(row * queryStride));
      const scores = k.let(weights.plus(row * weightStride));
      const panelBytes = k.let(size.times(8 * bytes));
      const target = k.let(scores);
      eachPanel(
        k,
        shape,
        rows,
        to.plus(7).shiftRight(3).minus(aligned),
        keys.plus(aligned.times(panelBytes)),
        panelBytes,
        (panels) => panelSums(k, shape, queries, rows, queryStride, panels, size, read),
        (sums) => {
          sums.forEach((of, i) =>
            of.forEach((total, column) => k.store(target, total, i * weightStride + 16 * column)),
          );
          target.add(16 * sums[0].length);
        },
      );
      const [skipped, count] = [k.let(from.and(7).shiftLeft(2)), k.let(to.minus(from))];
      for (let i = 0; i < rows; i++) {
        const line = k.let(scores.plus(i * weightStride));
        const sloped: Slope | undefined = slopes && {
          slope: k.let(load.f32(element(slopes, head.times(group).plus(row + i)))),
          first: from.plus(1).minus(end),
        };
        const { most, total } = weigh(k, exp, line, from.and(7), count, scale, p.softCap, bias, sloped);
        k.store(ends, most, 8 * (row + i));
        k.store(ends, total, 8 * (row + i) + 4);
      }
      const rowBytes = k.let(p.padded.times(4));
      const output = k.let(part.plus(rowBytes.times(row)));
      const panelStride = k.let(capacity.times(8 * bytes));
      eachPanel(
        k,
        shape,
        rows,
        p.padded.shiftRight(3),
        values.plus(from.times(8 * bytes)),
        panelStride,
        (panels) => panelSums(k, shape, scores.plus(skipped), rows, weightStride, panels, count, read),
        (sums) => {
          const at = k.let(output);
          for (const of of sums) {
            of.forEach((sum, column) => k.store(at, sum, 16 * column));
            at.add(rowBytes);
          }
          output.add(16 * sums[0].length);
        },
      );
    }
  });
}

function emitCombine(
  k: Kernel,
  { plan, group }: DecodeShape,
  { first, count, tokens, parts, heads, size, padded, target: rows }: Locals<typeof combineParameters>,
): void {
  const exp = exponential(k, plan.fused);
  const rowBytes = k.let(padded.times(4));
  const partBytes = k.let(padded.plus(2).times(4 * group));
  const stride = k.let(partBytes.times(heads));
  const headsBytes = k.let(heads.times(size).times(4 * group));
  const token = k.let(tokens.plus(first.times(tokenBytes)));
  k.repeat(count, () => {
    const unit = k.let(word(token, 'first'));
    const splits = k.let(word(token, 'end').minus(unit).over(heads));
    const target = k.let(rows.plus(word(token, 'query').times(headsBytes)));
    const part = k.let(parts.plus(unit.times(partBytes)));
    k.repeat(heads, () => {
      for (let row = 0; row < group; row++) {
        const ends = k.let(part.plus(rowBytes.times(group)).plus(8 * row));
        const forSplits = (body: (at: Variable<'i32'>) => void): void => {
          const at = k.let(ends);
          k.repeat(splits, () => (body(at), at.add(stride)));
        };
        const most = k.let(constant('f32', -Infinity));
        forSplits((at) => most.set(most.orLarger(load.f32(at))));
        const total = k.let(constant('f32', 0));
        // Each split's weights are relative to its own largest score: this makes them relative to the largest of all.
        forSplits((at) => {
          const factor = k.let(exp(load.f32(at).minus(most)) as Value<'f32'>);
          total.set(total.plus(factor.times(load.f32(at, 4))));
          k.store(at, factor);
        });
        const inverse = k.let(constant('f32', 1).over(total));
        each(k, size, [target], (at) => at.store(constant(at.kind, 0)));
        const from = k.let(part.plus(rowBytes.times(row)));
        forSplits((at) => {
          const factor = k.let(load.f32(at).times(inverse));
          each(k, size, [from, target], (value, result) =>
            result.store(result.load().plus(value.load().times(factor))),
          );
          from.add(stride);
        });
        target.add(size.shiftLeft(2));
      }
      part.add(partBytes);
    });
    token.add(tokenBytes);
  });
}

type Module = ReturnType<typeof makeModule>;
const made = new Map<string, Module>();

/** Kernels for a shape, made once a process. */
export function decodeAttention(shape: DecodeShape): Module {
  const key = [shape.plan.fused, shape.plan.panels, shape.plan.unroll, shape.group, shape.stored, shape.sloped].join();
  let found = made.get(key);
  if (!found) made.set(key, (found = makeModule(shape)));
  return found;
}
