/** What `Engine` refuses before any backend sees it: what is another engine's, and shapes and types that do not fit an operation. */
import type { Accumulator } from './accumulator.js';
import type {
  AttentionInputs,
  ExpertTally,
  Fusion,
  GatedProjections,
  Head,
  MoeSpec,
  Norm,
  Projection,
} from './backend.js';
import { lastRows, rowsOf } from './batch.js';
import { broadcastOf } from './broadcast.js';
import { ShapeError, type Shape } from './errors.js';
import { checkOptions, list, oneOf, refuse, whole } from './given.js';
import { mentions, type Expression } from './expression.js';
import type { CacheSpec } from './kvCache.js';
import type { Ledger } from './ledger.js';
import { shownValue } from './shownValue.js';
import { sizeOf, type Tensor } from './tensor.js';
import type { Weight } from './weight.js';

type Named = Record<string, Tensor>;

const shapesOf = (tensors: Named): Record<string, Shape> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]));

/** Tensors of this engine, float32. */
export function floats(own: Ledger, op: string, tensors: Named): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    own.checkOwn(op, tensor);
    if (tensor.dtype !== 'float32')
      throw new ShapeError(op, shapesOf(tensors), `${name} is ${tensor.dtype}, but float32 is needed (use cast)`);
  }
}

/** Sizes of a new tensor or accumulator. */
export function sizes(op: string, shape: Shape): void {
  const bad = shape.findIndex((size) => !(Number.isSafeInteger(size) && size >= 0));
  if (bad >= 0)
    throw new ShapeError(op, { shape }, `a size is a whole number of at least 0, found ${shownValue(shape[bad])}`, bad);
}

export function cacheSpec(spec: CacheSpec): void {
  checkOptions(spec, {
    layers: list(whole(0)),
    slots: whole(1),
    capacity: whole(1),
    keyValueHeads: whole(1),
    headDim: whole(1),
    dtype: oneOf(['float32', 'float16']),
  });
}

/** Token ids, targets and row indices come as an Int32Array: it holds no fractions. */
function int32(op: string, name: string, values: Int32Array): void {
  if (!(values instanceof Int32Array)) refuse(`[${op}] ${name}`, 'an Int32Array', values);
}

export function rank(op: string, axes: number, tensors: Named): void {
  for (const [name, { shape }] of Object.entries(tensors))
    if (shape.length !== axes)
      throw new ShapeError(op, shapesOf(tensors), `${name} has ${shape.length} axes, but ${axes} are needed`);
}

/** b has a's last sizes, or one element. */
export function broadcast(own: Ledger, op: string, a: Tensor, b: Tensor): void {
  floats(own, op, { lhs: a, rhs: b });
  const tail = a.shape.slice(a.shape.length - b.shape.length);
  if (b.size === 1 || (b.shape.length <= a.shape.length && b.shape.every((size, i) => size === tail[i]))) return;
  throw new ShapeError(op, { lhs: a.shape, rhs: b.shape }, "rhs is neither one element nor the lhs's last sizes");
}

/** The sizes before, at and after an axis; a negative axis counts from the last. */
export function around(own: Ledger, op: string, x: Tensor, axis: number): [number, number, number] {
  floats(own, op, { x });
  const at = axis < 0 ? x.shape.length + axis : axis;
  if (!(Number.isInteger(at) && at >= 0 && at < x.shape.length))
    throw new ShapeError(op, { x: x.shape }, `there is no axis ${axis}`, axis);
  return [sizeOf(x.shape.slice(0, at)), x.shape[at], sizeOf(x.shape.slice(at + 1))];
}

export const without = (shape: Shape, axis: number): Shape =>
  shape.filter((_, i) => i !== (axis < 0 ? shape.length + axis : axis));

export function norm(own: Ledger, op: string, x: Tensor, { gain }: Norm<Tensor>): void {
  floats(own, op, { x, gain });
  rank(op, 2, { x });
  if (gain.size !== x.shape[1])
    throw new ShapeError(op, { x: x.shape, gain: gain.shape }, `the gain needs ${x.shape[1]} elements`);
}

export function fusion(own: Ledger, op: string, x: Tensor, { norm: before, add }: Fusion<Tensor>, out: number): void {
  floats(own, op, { x });
  rank(op, 2, { x });
  if (before) norm(own, op, x, before);
  if (add) own.checkOwn(op, add);
  if (add && (add.dtype !== 'float32' || add.shape[0] !== x.shape[0] || add.shape[1] !== out))
    throw new ShapeError(op, { x: x.shape, add: add.shape }, `what is added must be float32 [${x.shape[0]},${out}]`);
}

export function projection(own: Ledger, op: string, inner: number, { weight, bias }: Projection<Tensor, Weight>): void {
  own.checkOwn(op, weight);
  if (bias) own.checkOwn(op, bias);
  const [out, width] = weight.shape.slice(-2);
  if (width !== inner)
    throw new ShapeError(
      op,
      { x: [-1, inner], [weight.name]: weight.shape },
      `inner sizes ${inner} and ${width} differ`,
    );
  if (bias && bias.size !== out)
    throw new ShapeError(op, { [weight.name]: weight.shape, bias: bias.shape }, `the bias needs ${out} elements`);
}

export function gated(own: Ledger, op: string, x: Tensor, { gate, up, down }: GatedProjections<Tensor, Weight>): void {
  projection(own, op, x.shape[1], gate);
  projection(own, op, x.shape[1], up);
  projection(own, op, up.weight.shape.at(-2)!, down);
  if (gate.weight.shape.at(-2) !== up.weight.shape.at(-2) || down.weight.shape.at(-2) !== x.shape[1])
    throw new ShapeError(
      op,
      { gate: gate.weight.shape, up: up.weight.shape, down: down.weight.shape },
      'gate and up must agree, and down must lead back',
    );
}

export function map(own: Ledger, x: Tensor, expression: Expression, y: Tensor | undefined): void {
  floats(own, 'map', y ? { x, y } : { x });
  if (mentions(expression, 'y') !== Boolean(y))
    throw new ShapeError(
      'map',
      shapesOf(y ? { x, y } : { x }),
      y ? 'the expression has no use for y' : 'the expression needs y',
    );
  if (!broadcastOf(x.shape, y?.shape))
    throw new ShapeError(
      'map',
      { x: x.shape, y: y!.shape },
      "y has neither x's shape nor its last sizes, nor is it one number a row or for all",
    );
}

export function moe(
  own: Ledger,
  x: Tensor,
  router: Weight,
  experts: GatedProjections<Tensor, Weight>,
  { topK }: MoeSpec,
  around: Fusion<Tensor>,
  tally: ExpertTally<Accumulator> | undefined,
): void {
  projection(own, 'moe', x.shape[1], { weight: router });
  gated(own, 'moe', x, experts);
  fusion(own, 'moe', x, around, x.shape[1]);
  const [count] = router.shape;
  if (experts.gate.weight.shape[0] !== count || !(Number.isInteger(topK) && topK >= 1 && topK <= count))
    throw new ShapeError(
      'moe',
      { router: router.shape, experts: experts.gate.weight.shape },
      `top ${topK} of ${count} experts cannot be chosen`,
      0,
    );
  if (!tally) return;
  const { into, index } = tally;
  own.checkOwn('moe', into);
  if (!(Number.isInteger(index) && index >= 0 && index + 3 * count <= into.length))
    throw new ShapeError('moe', { tally: [into.length] }, `it has no ${3 * count} elements from ${index} on`, 0);
}

export function attention(own: Ledger, { q, k, v, cache, batch, spec }: AttentionInputs<Tensor>): void {
  floats(own, 'attention', { q, k, v });
  const { heads, keyValueHeads, headDim, rotary, slopes } = spec;
  if (rotary) floats(own, 'attention', { cos: rotary.cos, sin: rotary.sin });
  if (slopes) own.checkOwn('attention', slopes);
  if (cache) own.checkOwn('attention', cache);
  const tokens = rowsOf(batch);
  const shapes = { q: q.shape, k: k.shape, v: v.shape };
  const fits = (t: Tensor, rows: number, count: number): boolean =>
    t.shape.length === 2 && t.shape[0] === rows && t.shape[1] === count * headDim;
  const asking = q.shape[0] === tokens ? tokens : batch.sequences.length;
  if (heads % keyValueHeads !== 0)
    throw new ShapeError('attention', shapes, `${heads} heads do not divide by ${keyValueHeads} key-value heads`);
  if (!fits(q, asking, heads) || !fits(k, tokens, keyValueHeads) || !fits(v, tokens, keyValueHeads))
    throw new ShapeError(
      'attention',
      shapes,
      `expected q [${tokens},${heads * headDim}], k and v [${tokens},${keyValueHeads * headDim}]`,
    );
  if (asking < tokens) lastRows(batch); // throws if a sequence has no last token
  const last = batch.positions.reduce((most, position) => Math.max(most, position), 0);
  if (rotary && (last >= rotary.cos.shape[0] || headDim < 2 * rotary.cos.shape[1]))
    throw new ShapeError(
      'attention',
      { cos: rotary.cos.shape },
      `position ${last} and head size ${headDim} need at least ${last + 1} rows and at most ${headDim / 2} columns`,
    );
  if (slopes && (slopes.dtype !== 'float32' || slopes.size !== heads))
    throw new ShapeError('attention', { slopes: slopes.shape }, `${heads} heads need a float32 slope each`);
  if (cache) cache.check(batch);
  else if (batch.sequences.some(({ start }) => start !== 0))
    throw new ShapeError('attention', shapes, 'a sequence that continues an earlier one needs a cache');
}

/** Streams [T, D], of equal shapes, that enter a head. */
export function head(own: Ledger, op: string, streams: Named, into: Head<Tensor, Weight>): void {
  floats(own, op, streams);
  rank(op, 2, streams);
  const [first, ...others] = Object.values(streams);
  if (others.some(({ shape }) => shape.join() !== first.shape.join()))
    throw new ShapeError(op, shapesOf(streams), 'the shapes differ');
  projection(own, op, first.shape[1], into);
  for (const x of Object.values(streams)) if (into.norm) norm(own, op, x, into.norm);
}

export function targets(h: Tensor, { weight }: Head<Tensor, Weight>, ids: Int32Array): void {
  int32('crossEntropy', 'targets', ids);
  const [vocabulary] = weight.shape;
  const bad = ids.find((target) => !(target >= -1 && target < vocabulary));
  if (ids.length !== h.shape[0] || bad !== undefined)
    throw new ShapeError(
      'crossEntropy',
      { h: h.shape, head: weight.shape, targets: [ids.length] },
      bad === undefined ? 'one target a row is needed' : `target ${bad} is not within -1 to ${vocabulary - 1}`,
      0,
    );
}

export function embed(own: Ledger, weight: Weight, ids: Int32Array): void {
  own.checkOwn('embed', weight);
  int32('embed', 'tokens', ids);
  const [vocabulary] = weight.shape;
  const bad = ids.find((token) => !(token >= 0 && token < vocabulary));
  if (bad !== undefined)
    throw new ShapeError(
      'embed',
      { [weight.name]: weight.shape },
      `token ${bad} is not within 0 to ${vocabulary - 1}`,
      0,
    );
}

export function gather(own: Ledger, x: Tensor, indices: Int32Array): void {
  floats(own, 'gather', { x });
  rank('gather', 2, { x });
  int32('gather', 'indices', indices);
  const [rows] = x.shape;
  const bad = indices.find((index) => !(index >= 0 && index < rows));
  if (bad !== undefined) throw new ShapeError('gather', { x: x.shape }, `row ${bad} is not within 0 to ${rows - 1}`, 0);
}

export function cosine(own: Ledger, a: Tensor, b: Tensor, into: Accumulator, index: number): void {
  floats(own, 'cosine', { a, b });
  own.checkOwn('cosine', into);
  rank('cosine', 2, { a, b });
  if (a.shape[0] !== b.shape[0] || a.shape[1] !== b.shape[1])
    throw new ShapeError('cosine', { a: a.shape, b: b.shape }, 'the shapes differ');
  if (!(Number.isInteger(index) && index >= 0 && index < into.length))
    throw new ShapeError('cosine', { into: [into.length] }, `there is no element ${index}`, 0);
}

/** Sums [A, B] of products of a [T, A] and b [T, B]. */
export function crossGram(own: Ledger, op: string, a: Tensor, b: Tensor, into: Accumulator): void {
  floats(own, op, { a, b });
  own.checkOwn(op, into);
  rank(op, 2, { a, b });
  if (a.shape[0] !== b.shape[0] || into.length !== a.shape[1] * b.shape[1])
    throw new ShapeError(
      op,
      { a: a.shape, b: b.shape, into: [into.length] },
      `as many rows, and ${a.shape[1] * b.shape[1]} elements are needed`,
    );
}
