import type {
  Abilities,
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
import { broadcastOf } from '../broadcast.js';
import type { EngineOptions } from '../engineOptions.js';
import { UserError } from '../errors.js';
import type { Expression } from '../expression.js';
import { host } from '../hosts/index.js';
import type { CacheSpec } from '../kvCache.js';
import type { Packable } from '../packable.js';
import { sizeOf, type DType, type Storage } from '../tensor.js';
import type { WeightUse } from '../weight.js';
import { mostPages } from './compiler/webAssembly.js';
import { elementwise } from './kernels/elementwise.js';
import { pack } from './kernels/pack.js';
import { reduce } from './kernels/reduce.js';
import { softmax } from './kernels/softmax.js';
import { cacheLayerBytes } from './layouts/cacheLayout.js';
import { attention } from './operations/attention.js';
import { cosine } from './operations/cosine.js';
import { crossEntropy, divergence } from './operations/crossEntropy.js';
import { crossGram, gram } from './operations/gram.js';
import { gatherInt4, packInt4 } from './operations/int4/packInt4.js';
import { gatherInt8, packInt8 } from './operations/int8/packInt8.js';
import { isInt8Right } from './operations/integerProduct.js';
import { gatedMlp, linear, normRows, productTasks } from './operations/linear.js';
import { mapRows } from './operations/map.js';
import { moe } from './operations/moe.js';
import { isInt4Right, rightOf } from './operations/operands.js';
import { packLeft, packRight, type Matrix } from './operations/packRows.js';
import { gatherRows, packWeight } from './operations/packWeight.js';
import { passesSelfTest } from './operations/selfTest.js';
import { affordablePages, affordableThreads } from './runtime/addressSpace.js';
import { Machine } from './runtime/machine.js';
import { overMemories, type Home } from './runtime/manyMemories.js';
import { addressOf, Memory, type Block } from './runtime/memory.js';
import { WasmRecording } from './runtime/recording.js';
import { detectTier, isKnown, plansOf, prepare, tiers, whyTier, type Tier } from './runtime/tier.js';

/** WebAssembly with kernels emitted at run time. Calls compute at once; only signatures are asynchronous. */
class WasmBackend implements Home {
  readonly name = 'wasm';
  readonly abilities: Abilities;
  #held: Machine | undefined;

  constructor(
    machine: Machine,
    private readonly tier: Tier,
    private readonly why: string,
  ) {
    this.#held = machine;
    this.abilities = { tier, threads: machine.threads, why };
  }

  get memory(): Memory {
    return this.#machine.memory;
  }

  beside(memory: Memory): WasmBackend {
    return new WasmBackend(this.#machine.beside(memory), this.tier, this.why);
  }

  get #machine(): Machine {
    if (!this.#held) throw new UserError('the wasm backend was used after it was disposed');
    return this.#held;
  }

  upload(data: Float32Array | Int32Array): Block {
    const block = this.#machine.memory.allocate(data.byteLength);
    const { memory } = this.#machine;
    if (data instanceof Float32Array) memory.floats(block.address, data.length).set(data);
    else memory.ints(block.address, data.length).set(data);
    return block;
  }

  async read(t: Operand): Promise<Float32Array | Int32Array> {
    const { memory } = this.#machine;
    return (
      t.dtype === 'int32' ? memory.ints(addressOf(t), sizeOf(t.shape)) : memory.floats(addressOf(t), sizeOf(t.shape))
    ).slice();
  }

  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean): Block {
    const machine = this.#machine;
    const left = matrix(a, transposeA);
    const right = matrix(b, !transposeB);
    using results = machine.memory.frame();
    const c = results.block(4 * left.rows * right.rows);
    if (left.depth === 0) machine.memory.floats(c.address, left.rows * right.rows).fill(0);
    else
      machine.run(
        productTasks(
          machine,
          packLeft(machine, results, left),
          left.rows,
          packRight(machine, results, right),
          c.address,
        ),
      );
    return results.keep(c);
  }

  map(x: Operand, expression: Expression, y: Operand | undefined): Block {
    const layout = broadcastOf(x.shape, y?.shape)!;
    return this.#result(layout.rows * layout.width, (target) =>
      mapRows(this.#machine, expression, addressOf(x), target, layout, y && addressOf(y)),
    );
  }

  softmax(x: Operand, outer: number, size: number, inner: number): Block {
    const { memory } = this.#machine;
    const kernels = this.#machine.kernels(softmax);
    const { packStrided } = this.#machine.kernels(pack);
    return this.#result(outer * size * inner, (y) => {
      if (inner === 1) return kernels.softmax({ x: addressOf(x), y, rows: outer, width: size });
      // Along another axis than the last: transposed, and back.
      using frame = memory.frame();
      const rows = frame.take(4 * size * inner);
      for (let o = 0; o < outer; o++) {
        const at = 4 * o * size * inner;
        packStrided({
          source: addressOf(x) + at,
          target: rows,
          count: inner,
          width: 1,
          depth: size,
          rowStride: 4,
          depthStride: 4 * inner,
        });
        kernels.softmax({ x: rows, y: rows, rows: inner, width: size });
        packStrided({
          source: rows,
          target: y + at,
          count: size,
          width: 1,
          depth: inner,
          rowStride: 4,
          depthStride: 4 * size,
        });
      }
    });
  }

  reduce(x: Operand, kind: 'sum' | 'mean', outer: number, size: number, inner: number): Block {
    const factor = kind === 'mean' ? 1 / size : 1;
    return this.#result(outer * inner, (y) =>
      this.#machine.kernels(reduce).sum({ x: addressOf(x), y, outer, size, inner, factor }),
    );
  }

  argmax(x: Operand, outer: number, size: number, inner: number): Block {
    return this.#result(outer * inner, (y) =>
      this.#machine.kernels(reduce).argmax({ x: addressOf(x), y, outer, size, inner }),
    );
  }

  cast(x: Operand, dtype: DType): Block {
    const { memory } = this.#machine;
    const { truncate, convert } = this.#machine.kernels(elementwise);
    const count = sizeOf(x.shape);
    return this.#result(count, (y) => {
      if (x.dtype === dtype) memory.ints(y, count).set(memory.ints(addressOf(x), count));
      else (dtype === 'int32' ? truncate : convert)({ x: addressOf(x), y, count });
    });
  }

  pack(source: Packable, _use: WeightUse): Promise<Storage> {
    if (source.dtype === 'int4') return packInt4(this.#machine, source);
    return source.dtype === 'int8' ? packInt8(this.#machine, source) : packWeight(this.#machine, source);
  }

  createCacheLayer(spec: CacheSpec): Block {
    return this.memory.allocate(cacheLayerBytes(spec));
  }

  embed(weight: PackedWeight, tokens: Int32Array): Block {
    const right = rightOf(weight);
    using frame = this.#machine.memory.frame();
    const ids = frame.ints(tokens);
    return this.#result(tokens.length * right.depth, (target) => {
      if (isInt4Right(right)) gatherInt4(this.#machine, right, ids, tokens.length, target);
      else if (isInt8Right(right)) gatherInt8(this.#machine, right, ids, tokens.length, target);
      else gatherRows(this.#machine, right, ids, tokens.length, target);
    });
  }

  gather(x: Operand, indices: Int32Array): Block {
    const { memory } = this.#machine;
    const [rows, width] = x.shape;
    const from = memory.floats(addressOf(x), rows * width);
    return this.#result(indices.length * width, (y) => {
      const to = memory.floats(y, indices.length * width);
      indices.forEach((index, row) => to.set(from.subarray(index * width, (index + 1) * width), row * width));
    });
  }

  rmsNorm(x: Operand, norm: Norm): Block {
    const [rows, width] = x.shape;
    return this.#result(rows * width, (y) => normRows(this.#machine, addressOf(x), y, rows, width, norm));
  }

  linear(x: Operand, projections: readonly Projection[], fusion: Fusion): Block[] {
    return linear(this.#machine, x, projections, fusion);
  }

  gatedMlp(x: Operand, weights: GatedProjections, fusion: Fusion): Block {
    return gatedMlp(this.#machine, x, weights, fusion);
  }

  moe(
    x: Operand,
    router: PackedWeight,
    experts: GatedProjections,
    spec: MoeSpec,
    fusion: Fusion,
    tally?: ExpertTally,
  ): Block {
    const counted = tally && (tally.into as Block).address + 8 * tally.index;
    return moe(this.#machine, x, router, experts, spec, fusion, counted);
  }

  attention(inputs: AttentionInputs): Block {
    return attention(this.#machine, inputs);
  }

  crossEntropy(h: Operand, head: Head, targets: Int32Array): Block {
    return crossEntropy(this.#machine, h, head, targets);
  }

  divergence(reference: Operand, h: Operand, head: Head): Block {
    return divergence(this.#machine, reference, h, head);
  }

  createAccumulator(length: number): Block {
    const block = this.#machine.memory.allocate(8 * length);
    this.#machine.memory.doubles(block.address, length).fill(0);
    return block;
  }

  cosine(a: Operand, b: Operand, into: Storage, index: number): void {
    cosine(this.#machine, a, b, (into as Block).address + 8 * index);
  }

  gram(x: Operand, into: Storage): void {
    gram(this.#machine, x, (into as Block).address);
  }

  crossGram(a: Operand, b: Operand, into: Storage): void {
    crossGram(this.#machine, a, b, (into as Block).address);
  }

  async readAccumulator(accumulator: Storage, length: number): Promise<Float64Array> {
    return this.#machine.memory.doubles((accumulator as Block).address, length).slice();
  }

  record(): WasmRecording {
    return new WasmRecording(this.#machine);
  }

  dispose(): void {
    this.#held?.dispose();
    this.#held = undefined;
  }

  /** A block of `count` 32-bit elements that `fill` writes. */
  #result(count: number, fill: (address: number) => void): Block {
    using frame = this.#machine.memory.frame();
    const block = frame.block(4 * count);
    fill(block.address);
    return frame.keep(block);
  }
}

/** A tensor [rows, depth], or [depth, rows] where transposed. */
function matrix(t: Operand, transposed: boolean): Matrix {
  const [rows, depth] = transposed ? [t.shape[1], t.shape[0]] : t.shape;
  const [rowStride, depthStride] = transposed ? [4, 4 * rows] : [4 * depth, 4];
  return { address: addressOf(t), rows, depth, rowStride, depthStride };
}

/** On the best tier whose kernels pass their test. Memories may grow to `pages` each; `plansFor` says how a tier multiplies. */
export async function createWasmBackend(
  options: EngineOptions,
  pages = mostPages,
  plansFor = plansOf,
): Promise<Backend> {
  const { int4 = 'fast', threads = host.cores() } = options;
  const affordable = affordablePages(pages);
  for (let at = tiers.indexOf(detectTier(options)); ; at++) {
    const tier = tiers[at];
    prepare(tier);
    if (!isKnown(tier)) continue;
    const plans = plansFor(tier);
    const memory = new Memory(affordable);
    const machine = new Machine(plans.int4, int4 === 'exact', affordableThreads(threads), plans.tile, memory);
    if (tier === 'baseline' || (await passesSelfTest(machine)))
      return overMemories(new WasmBackend(machine, tier, whyTier(options, tier)), affordable);
    machine.dispose();
    host.warn(`Kernels of the tier ${tier} fail their test here; going on with ${tiers[at + 1]}.`);
  }
}
