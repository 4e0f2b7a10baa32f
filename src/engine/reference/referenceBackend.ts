import type {
  AttentionInputs,
  Backend,
  ExpertTally,
  Fusion,
  GatedProjections,
  Head,
  MoeSpec,
  Norm,
  Operand,
  PackedWeight,
  Projection,
} from '../backend.js';
import type { Expression } from '../expression.js';
import { decodeFloats } from '../halfFloat.js';
import type { CacheSpec } from '../kvCache.js';
import { asFloats, type Packable } from '../packable.js';
import { sizeOf, type DType, type Storage } from '../tensor.js';
import { ArrayStorage } from './arrayStorage.js';
import { attention } from './attention.js';
import * as general from './general.js';
import * as transformer from './transformer.js';
import { flat, view, type Floats } from './view.js';

const stored = (values: Float32Array | Int32Array): Storage => new ArrayStorage(values);

/** Plain TypeScript with float64 accumulators: readable, never optimised, the oracle of every other backend. */
export class ReferenceBackend implements Backend {
  readonly name = 'reference';
  readonly abilities = { tier: 'float64 accumulators', threads: 1 };

  upload(data: Float32Array | Int32Array): Storage {
    return stored(data.slice());
  }

  async read(t: Operand): Promise<Float32Array | Int32Array> {
    return flat(t).slice();
  }

  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean): Storage {
    return stored(general.matmul(a, b, transposeA, transposeB));
  }

  map(x: Operand, expression: Expression, y: Operand | undefined): Storage {
    return stored(general.map(x, expression, y));
  }

  softmax(x: Operand, outer: number, size: number, inner: number): Storage {
    return stored(general.softmax(x, outer, size, inner));
  }

  reduce(x: Operand, kind: 'sum' | 'mean', outer: number, size: number, inner: number): Storage {
    return stored(general.reduce(x, kind, outer, size, inner));
  }

  argmax(x: Operand, outer: number, size: number, inner: number): Storage {
    return stored(general.argmax(x, outer, size, inner));
  }

  cast(x: Operand, dtype: DType): Storage {
    return stored(dtype === 'int32' ? Int32Array.from(flat(x)) : Float32Array.from(flat(x)));
  }

  async pack(source: Packable): Promise<Storage> {
    const rows = sizeOf(source.shape.slice(0, -1));
    const floats = asFloats(source);
    return stored(decodeFloats(await floats.readRows(0, rows), floats.dtype));
  }

  createCacheLayer({ slots, capacity, keyValueHeads, headDim }: CacheSpec): Storage {
    return stored(new Float32Array(2 * slots * capacity * keyValueHeads * headDim));
  }

  embed(weight: PackedWeight, tokens: Int32Array): Storage {
    return stored(general.gather(view(weight), tokens));
  }

  gather(x: Operand, indices: Int32Array): Storage {
    return stored(general.gather(view(x), indices));
  }

  rmsNorm(x: Operand, norm: Norm): Storage {
    return stored(transformer.rmsNorm(view(x), norm));
  }

  linear(x: Operand, projections: readonly Projection[], { norm, add }: Fusion): Storage[] {
    const input = normed(x, norm);
    return projections.map((projection, i) => plus(transformer.linear(input, projection), i === 0 ? add : undefined));
  }

  gatedMlp(x: Operand, weights: GatedProjections, { norm, add }: Fusion): Storage {
    return plus(transformer.gatedMlp(normed(x, norm), weights), add);
  }

  moe(
    x: Operand,
    router: PackedWeight,
    experts: GatedProjections,
    spec: MoeSpec,
    { norm, add }: Fusion,
    tally?: ExpertTally,
  ): Storage {
    const count = (expert: number, weight: number, length: number): void => {
      const at = tally!.index + expert;
      [1, weight, weight * length].forEach((value, i) => (sums(tally!.into)[at + i * router.shape[0]] += value));
    };
    return plus(transformer.moe(normed(x, norm), router, experts, spec, tally && count), add);
  }

  attention(inputs: AttentionInputs): Storage {
    return stored(attention(inputs));
  }

  crossEntropy(h: Operand, head: Head, targets: Int32Array): Storage {
    return stored(transformer.crossEntropy(normed(h, head.norm), head, targets));
  }

  divergence(reference: Operand, h: Operand, head: Head): Storage {
    return stored(transformer.divergence(normed(reference, head.norm), normed(h, head.norm), head));
  }

  createAccumulator(length: number): Storage {
    return new ArrayStorage(new Float64Array(length));
  }

  cosine(a: Operand, b: Operand, into: Storage, index: number): void {
    sums(into)[index] += transformer.cosineSum(view(a), view(b));
  }

  gram(x: Operand, into: Storage): void {
    this.crossGram(x, x, into);
  }

  crossGram(a: Operand, b: Operand, into: Storage): void {
    const [left, right] = [view(a), view(b)];
    const [count, width] = b.shape;
    const total = sums(into);
    for (let i = 0; i < a.shape[1]; i++)
      for (let j = 0; j < width; j++) {
        let sum = 0;
        for (let r = 0; r < count; r++) sum += left.get(r, i) * right.get(r, j);
        total[i * width + j] += sum;
      }
  }

  async readAccumulator(accumulator: Storage): Promise<Float64Array> {
    return sums(accumulator).slice();
  }

  dispose(): void {}
}

const sums = (storage: Storage): Float64Array => (storage as ArrayStorage<Float64Array>).values;

const normed = (x: Operand, norm?: Norm): Floats =>
  norm ? transformer.asRows(transformer.rmsNorm(view(x), norm), x.shape[0]) : view(x);

/** Adds a residual once to the finished sum. */
function plus(values: Float32Array, add?: Operand): Storage {
  const residual = add && flat(add);
  return stored(residual ? values.map((value, i) => value + residual[i]) : values);
}
