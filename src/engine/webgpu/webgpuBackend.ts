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
import { UserError } from '../errors.js';
import type { Expression } from '../expression.js';
import { host } from '../hosts/index.js';
import type { CacheSpec, KvCache } from '../kvCache.js';
import type { Packable } from '../packable.js';
import { sizeOf, type DType, type Storage } from '../tensor.js';
import { elementLanes } from './compiler/kernel.js';
import { convert, copy, embed, gather, truncate } from './kernels/elements.js';
import { argmax, softmax, sum } from './kernels/lines.js';
import { mapKernel } from './kernels/map.js';
import { addSum, cosines } from './kernels/similarity.js';
import { plansFor, type TilePlan } from './layouts/tilePlan.js';
import { attention, createCacheLayer, type CacheLayer } from './operations/attention.js';
import { crossEntropy, divergence } from './operations/losses.js';
import { floatsOf, weightOf } from './operations/matrices.js';
import { moe } from './operations/mixture.js';
import { packWeight } from './operations/packWeight.js';
import { Places } from './operations/places.js';
import { multiply } from './operations/product.js';
import { passesSelfTest } from './operations/selfTest.js';
import { gatedMlp, normRows, projectAll, withInput } from './operations/transformer.js';
import { Device } from './runtime/device.js';
import { loadGpu } from './runtime/load.js';
import { Machine } from './runtime/machine.js';
import type { Block } from './runtime/memory.js';
import { GpuRecording } from './runtime/recording.js';

/** WebGPU with kernels emitted at run time. Calls enqueue; reads submit what waits, and wait for it. */
class WebgpuBackend implements Backend {
  readonly name = 'webgpu';
  readonly abilities: Abilities;
  readonly #places = new Places();

  constructor(
    private readonly machine: Machine,
    private readonly mostBytes: number,
  ) {
    const { adapter, features } = machine.device;
    this.abilities = {
      tier: machine.plan.name,
      threads: 1,
      adapter: [adapter.vendor, adapter.device].filter(Boolean).join(' ') || 'unknown',
      driver: adapter.description || 'unknown',
      features: [...features].join(', ') || 'none',
    };
  }

  upload(data: Float32Array | Int32Array): Storage {
    return this.machine.upload(data);
  }

  async read(t: Operand): Promise<Float32Array | Int32Array> {
    const bytes = await this.machine.read(t.storage as Block, 4 * t.offset, 4 * sizeOf(t.shape));
    return t.dtype === 'int32' ? new Int32Array(bytes) : new Float32Array(bytes);
  }

  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean): Storage {
    const [left, right] = [floatsOf(a, transposeA), floatsOf(b, !transposeB)];
    return this.#result(left.rows * right.rows, (y) => multiply(this.machine, left, right, y));
  }

  map(x: Operand, expression: Expression, y: Operand | undefined): Storage {
    const { rows, width, rowStride, columnStride } = broadcastOf(x.shape, y?.shape)!;
    const numbers = { width: Math.max(1, width), rowStride, columnStride };
    return this.#elements(rows * width, (z, count, groups) =>
      this.machine.run(mapKernel(expression), { x, y: y ?? x, z }, { ...numbers, count }, groups),
    );
  }

  softmax(x: Operand, outer: number, size: number, inner: number): Storage {
    return this.#result(outer * size * inner, (y) =>
      this.machine.run(softmax, { x, y }, { size, inner }, outer * inner),
    );
  }

  reduce(x: Operand, kind: 'sum' | 'mean', outer: number, size: number, inner: number): Storage {
    const factor = kind === 'mean' ? 1 / size : 1;
    return this.#result(outer * inner, (y) => this.machine.run(sum, { x, y }, { size, inner, factor }, outer * inner));
  }

  argmax(x: Operand, outer: number, size: number, inner: number): Storage {
    return this.#result(outer * inner, (y) => this.machine.run(argmax, { x, y }, { size, inner }, outer * inner));
  }

  cast(x: Operand, dtype: DType): Storage {
    const kernel = x.dtype === dtype ? copy : dtype === 'int32' ? truncate : convert;
    return this.#elements(sizeOf(x.shape), (y, count, groups) => this.machine.run(kernel, { x, y }, { count }, groups));
  }

  pack(source: Packable): Promise<Storage> {
    return packWeight(this.machine, source, this.mostBytes);
  }

  createCacheLayer(spec: CacheSpec): Storage {
    return createCacheLayer(this.machine, spec);
  }

  embed(weight: PackedWeight, tokens: Int32Array): Storage {
    const { form, width, parts, numbers } = weightOf(weight);
    using indices = this.machine.upload(tokens);
    const count = tokens.length * Math.ceil(width / 4);
    return this.#result(tokens.length * width, (y) => {
      for (const { block, first, count: rows } of parts)
        this.machine.run(
          embed(form, this.machine.plan),
          { w: block, indices, y },
          { width, first, rows, ...numbers, count },
          Math.ceil(count / elementLanes),
        );
    });
  }

  gather(x: Operand, rows: Int32Array): Storage {
    const [, width] = x.shape;
    using indices = this.machine.upload(rows);
    return this.#elements(rows.length * width, (y, count, groups) =>
      this.machine.run(gather, { x, indices, y }, { width, count }, groups),
    );
  }

  rmsNorm(x: Operand, norm: Norm): Storage {
    return normRows(this.machine, x, norm);
  }

  linear(x: Operand, projections: readonly Projection[], { norm, add }: Fusion): Storage[] {
    return withInput(this.machine, x, norm, (input) => projectAll(this.machine, input, projections, add));
  }

  gatedMlp(x: Operand, weights: GatedProjections, fusion: Fusion): Storage {
    return gatedMlp(this.machine, x, weights, fusion);
  }

  moe(
    x: Operand,
    router: PackedWeight,
    experts: GatedProjections,
    spec: MoeSpec,
    fusion: Fusion,
    tally?: ExpertTally,
  ): Storage {
    return moe(this.machine, x, router, experts, spec, fusion, tally);
  }

  attention(inputs: AttentionInputs): Storage {
    return attention(this.machine, this.#places, inputs);
  }

  crossEntropy(h: Operand, head: Head, targets: Int32Array): Storage {
    return crossEntropy(this.machine, h, head, targets);
  }

  divergence(reference: Operand, h: Operand, head: Head): Storage {
    return divergence(this.machine, reference, h, head);
  }

  createAccumulator(length: number): Storage {
    return this.machine.memory.create(8 * length);
  }

  cosine(a: Operand, b: Operand, into: Storage, index: number): void {
    const [count, width] = a.shape;
    using y = this.machine.take(count);
    this.machine.run(cosines, { a, b, y }, { width }, count);
    this.machine.run(addSum, { x: y, sums: into as Block }, { count, index, zero: 0 }, 1);
  }

  gram(x: Operand, into: Storage): void {
    this.crossGram(x, x, into);
  }

  crossGram(a: Operand, b: Operand, into: Storage): void {
    multiply(this.machine, floatsOf(a, true), floatsOf(b, true), into as Block, true);
  }

  async readAccumulator(accumulator: Storage, length: number): Promise<Float64Array> {
    const pairs = new Float32Array(await this.machine.read(accumulator as Block, 0, 8 * length));
    return Float64Array.from({ length }, (_, i) => pairs[2 * i] + pairs[2 * i + 1]);
  }

  record(): GpuRecording {
    return new GpuRecording(this.machine, slabsOf);
  }

  dispose(): void {
    this.machine.dispose();
  }

  /** A block of `count` 32-bit elements that `fill` writes. */
  #result(count: number, fill: (y: Block) => void): Block {
    const y = this.machine.take(count);
    try {
      fill(y);
      return y;
    } catch (error) {
      y.free();
      throw error;
    }
  }

  /** The same by an elementwise kernel. */
  #elements(count: number, fill: (y: Block, count: number, groups: number) => void): Block {
    return this.#result(count, (y) => fill(y, count, Math.ceil(count / elementLanes)));
  }
}

/** A cache's buffers, layer by layer. */
const slabsOf = (cache: KvCache) =>
  cache.spec.layers.flatMap((layer) => {
    const { keys, values } = cache.storage(layer) as CacheLayer;
    return [keys.slab, values.slab];
  });

/**
 * On the machine's fastest adapter, with the first of the plans whose kernels pass their test; each is tried on a device
 * of its own, as what fails may take it along. Weights are split at `mostBytes`.
 */
export async function createWebgpuBackend(
  plansOf: (device: Device) => readonly TilePlan[] = plansFor,
  mostBytes = Infinity,
): Promise<Backend> {
  const gpu = await loadGpu();
  let device = await Device.open(gpu);
  let failed: string | undefined;
  for (const plan of plansOf(device)) {
    if (failed) {
      host.warn(`Kernels of the plan ${failed} fail their test here; going on with ${plan.name}.`);
      device = await Device.open(gpu);
    }
    const machine = new Machine(device, plan);
    if (await passesSelfTest(machine)) return new WebgpuBackend(machine, Math.min(mostBytes, device.largestBinding));
    machine.dispose();
    failed = plan.name;
  }
  throw new UserError('the kernels of the webgpu backend fail their test on this adapter', {
    hint: 'a newer driver may help; the backend `wasm` needs none',
  });
}
