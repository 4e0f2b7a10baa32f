import type { Device } from './device.js';
import { usage, type GpuBuffer, type GpuCommandEncoder, type GpuComputePass } from './gpu.js';
import type { Memory, Slab } from './memory.js';

/** Bytes that the numbers of one kernel take at most; what WebGPU lets offsets be multiples of. */
export const numbersBytes = 256;
/** Kernels of one submit, more than most passes have. */
const mostLaunches = 4096;

/** A kernel's launch, as the device takes it. */
export interface Dispatch {
  readonly pipeline: object;
  readonly bindGroup: object;
  /** Where its numbers lie in the buffer that the bind group names. */
  readonly numbersAt: number;
  readonly groups: number;
}

/** Commands that wait to be submitted, in one encoder. Nothing runs before `flush`, which a read calls. */
export class Commands {
  /** The numbers of the kernels that wait. */
  readonly numbers: GpuBuffer;
  readonly #staged = new DataView(new ArrayBuffer(numbersBytes * mostLaunches));
  #launches = 0;
  #encoder: GpuCommandEncoder | undefined;
  #pass: GpuComputePass | undefined;

  constructor(
    private readonly device: Device,
    private readonly memory: Memory,
    private readonly mostGroups = 65535,
  ) {
    this.numbers = device.gpu.createBuffer({
      size: numbersBytes * mostLaunches,
      usage: usage.uniform | usage.copyTarget,
    });
  }

  /** Room for a kernel's numbers, and where it lies. */
  place(): { readonly at: number; readonly into: DataView } {
    if (this.#launches === mostLaunches) this.flush();
    const at = numbersBytes * this.#launches++;
    return { at, into: new DataView(this.#staged.buffer, at, numbersBytes) };
  }

  dispatch({ pipeline, bindGroup, numbersAt, groups }: Dispatch): void {
    this.#pass ??= (this.#encoder ??= this.device.gpu.createCommandEncoder()).beginComputePass();
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, bindGroup, [numbersAt]);
    // Beyond what one dimension takes, in two; kernels put them together, and leave where there are too many.
    const rows = Math.ceil(groups / this.mostGroups);
    this.#pass.dispatchWorkgroups(Math.ceil(groups / rows), rows);
  }

  copy(from: Slab, fromAt: number, to: Pick<Slab, 'buffer' | 'usedIn'>, toAt: number, bytes: number): void {
    this.#endPass();
    this.#encoder ??= this.device.gpu.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from.buffer, fromAt, to.buffer, toAt, bytes);
    from.usedIn = to.usedIn = this.memory.submit;
  }

  /** Writes to a slab before the commands that wait, so they are submitted first if they use it. */
  write(slab: Slab, at: number, data: ArrayBufferView): void {
    if (slab.usedIn === this.memory.submit) this.flush();
    this.device.gpu.queue.writeBuffer(slab.buffer, at, data.buffer, data.byteOffset, data.byteLength);
  }

  /** Submits what waits. */
  flush(): void {
    if (!this.#encoder) return;
    this.#endPass();
    const { queue } = this.device.gpu;
    if (this.#launches > 0) queue.writeBuffer(this.numbers, 0, this.#staged.buffer, 0, numbersBytes * this.#launches);
    queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#launches = 0;
    this.memory.submitted();
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}
