import type { Operand } from '../../backend.js';
import type { Batch } from '../../batch.js';
import type { KvCache } from '../../kvCache.js';
import { sizeOf } from '../../tensor.js';
import type { Kernel } from '../compiler/kernel.js';
import type { TilePlan } from '../layouts/tilePlan.js';
import { Commands, type Dispatch } from './commands.js';
import type { Device } from './device.js';
import { mapToRead, usage } from './gpu.js';
import { Block, Memory, type Slab } from './memory.js';
import { Pipelines, type Bound, type Pipeline } from './pipelines.js';

/** What a kernel's buffer may be given. */
export type Given = Operand | Block;

/** A launch that can be made again. */
export interface Launch extends Omit<Dispatch, 'bindGroup' | 'pipeline'> {
  readonly compiled: Pipeline;
  readonly bounds: readonly Bound[];
}

/** Numbers that kernels read and that differ from batch to batch. */
export type HostNumbers = (batch: Batch, cache?: KvCache) => Int32Array;

/** Hears of all that runs while it is there. */
export interface Listener {
  launched(launch: Omit<Launch, 'numbersAt'>, numbers: DataView): void;
  /** Such numbers were written to a block, which it keeps. */
  placed(block: Block, of: HostNumbers, cache: KvCache | undefined): void;
  /** Something ran that depends on what the host gave: it cannot be run again. */
  spoiled(): void;
}

/** Where WebGPU lets a binding start, in bytes. */
const bindingAlignment = 256;

/** One device, its memory, and the kernels that run on it. */
export class Machine {
  readonly memory: Memory;
  readonly commands: Commands;
  readonly pipelines: Pipelines;
  listener: Listener | undefined;

  constructor(
    readonly device: Device,
    readonly plan: TilePlan,
  ) {
    this.pipelines = new Pipelines(device);
    this.memory = new Memory(device, (slab) => this.pipelines.forget(slab));
    this.commands = new Commands(device, this.memory);
  }

  /** Enqueues a kernel of `groups` workgroups; none for 0. */
  run<B extends string, N extends string>(
    kernel: Kernel<B, N>,
    buffers: Readonly<Record<NoInfer<B>, Given>>,
    numbers: Readonly<Record<NoInfer<N>, number>>,
    groups: number,
  ): void {
    this.device.check();
    if (groups === 0) return;
    const compiled = this.pipelines.of(kernel);
    const bounds = kernel.buffers.map(({ name }) => this.#bound(buffers[name]));
    const { at, into } = this.commands.place();
    into.setUint32(0, groups, true);
    kernel.numbers.forEach(({ name, type }, i) => {
      if (type === 'f32') into.setFloat32(4 * i + 4, numbers[name], true);
      else into.setInt32(4 * i + 4, numbers[name], true);
    });
    this.listener?.launched({ compiled, bounds, groups }, into);
    this.launch({ compiled, bounds, groups, numbersAt: at });
  }

  launch({ compiled, bounds, groups, numbersAt }: Launch): void {
    const bindGroup = this.pipelines.bindGroup(compiled, this.commands.numbers, bounds);
    for (const { slab } of bounds) slab.usedIn = this.memory.submit;
    this.commands.dispatch({ pipeline: compiled.pipeline, bindGroup, numbersAt, groups });
  }

  /** Where a kernel sees it; a view that starts where no binding may is copied first. */
  #bound(given: Given): Bound {
    if (given instanceof Block) return { slab: given.slab, offset: 0 };
    const { slab } = given.storage as Block;
    const offset = 4 * given.offset;
    if (offset % bindingAlignment === 0 && offset < slab.bytes) return { slab, offset };
    using copy = this.take(sizeOf(given.shape));
    this.listener?.spoiled();
    this.copy(given, copy.slab);
    return { slab: copy.slab, offset: 0 };
  }

  /** Room for `count` elements of 32 bits. */
  take(count: number): Block {
    return this.memory.take(4 * count);
  }

  upload(data: Float32Array | Int32Array): Block {
    this.listener?.spoiled();
    return this.#uploaded(data);
  }

  /** What `of` says of a batch: a recording writes it anew for each that is like it. */
  given(of: HostNumbers, batch: Batch, cache: KvCache | undefined): Block {
    const block = this.#uploaded(of(batch, cache));
    this.listener?.placed(block, of, cache);
    return block;
  }

  #uploaded(data: Float32Array | Int32Array): Block {
    const block = this.memory.takeIdle(data.byteLength);
    this.write(block, data);
    return block;
  }

  /** The elements of x, to the start of a slab. */
  copy(x: Operand, to: Slab): void {
    const bytes = 4 * sizeOf(x.shape);
    if (bytes > 0) this.commands.copy((x.storage as Block).slab, 4 * x.offset, to, 0, bytes);
  }

  write(block: Block, data: ArrayBufferView, at = 0): void {
    if (data.byteLength > 0) this.commands.write(block.slab, at, data);
  }

  /** Bytes of a block, once all that was enqueued before has run. */
  async read({ slab }: Block, offset: number, bytes: number): Promise<ArrayBuffer> {
    const { device, commands } = this;
    device.check();
    if (bytes === 0) return new ArrayBuffer(0);
    const staging = device.gpu.createBuffer({ size: bytes, usage: usage.copyTarget | usage.mapRead });
    try {
      commands.copy(slab, offset, { buffer: staging, usedIn: 0 }, 0, bytes);
      commands.flush();
      await staging.mapAsync(mapToRead).catch((error: unknown) => {
        device.check();
        throw error;
      });
      device.check();
      return staging.getMappedRange().slice(0);
    } finally {
      staging.destroy();
    }
  }

  dispose(): void {
    this.memory.dispose();
    this.device.destroy();
  }
}
