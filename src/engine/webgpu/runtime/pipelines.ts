import type { Kernel } from '../compiler/kernel.js';
import { numbersBytes } from './commands.js';
import type { Device } from './device.js';
import { computeStage, type GpuBuffer } from './gpu.js';
import type { Slab } from './memory.js';

/** A part of a slab that a kernel sees. */
export interface Bound {
  readonly slab: Slab;
  /** In bytes, a multiple of 256. */
  readonly offset: number;
}

/** A kernel, compiled. */
export interface Pipeline {
  readonly pipeline: object;
  readonly layout: object;
  readonly id: number;
}

/** Pipelines by kernel and bind groups by what they bind, each made once. */
export class Pipelines {
  readonly #pipelines = new Map<Kernel, Pipeline>();
  readonly #layouts = new Map<string, { readonly layout: object; readonly id: number }>();
  readonly #bindGroups = new Map<string, object>();

  constructor(private readonly device: Device) {}

  of(kernel: Kernel): Pipeline {
    const found = this.#pipelines.get(kernel);
    if (found) return found;
    const { gpu } = this.device;
    const { layout, id } = this.#layout(kernel);
    const module = gpu.createShaderModule({ label: kernel.name, code: kernel.code });
    const pipeline = gpu.createComputePipeline({
      label: kernel.name,
      layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    const made = { pipeline, layout, id };
    this.#pipelines.set(kernel, made);
    return made;
  }

  #layout({ buffers }: Kernel): { readonly layout: object; readonly id: number } {
    const types = buffers.map(({ written }) => (written ? 'storage' : 'read-only-storage'));
    const key = types.join();
    const found = this.#layouts.get(key);
    if (found) return found;
    const layout = this.device.gpu.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: computeStage, buffer: { type: 'uniform', hasDynamicOffset: true } },
        ...types.map((type, i) => ({ binding: i + 1, visibility: computeStage, buffer: { type } })),
      ],
    });
    const made = { layout, id: this.#layouts.size };
    this.#layouts.set(key, made);
    return made;
  }

  /** The one for these bounds, with the numbers of the commands that wait. */
  bindGroup(pipeline: Pipeline, numbers: GpuBuffer, bounds: readonly Bound[]): object {
    const key = `${pipeline.id}:${bounds.map(({ slab, offset }) => `${slab.id}+${offset}`).join()}`;
    const found = this.#bindGroups.get(key);
    if (found) return found;
    const group = this.makeBindGroup(pipeline, numbers, bounds);
    this.#bindGroups.set(key, group);
    for (const { slab } of bounds) slab.bindGroups.add(key);
    return group;
  }

  makeBindGroup({ layout }: Pipeline, numbers: GpuBuffer, bounds: readonly Bound[]): object {
    return this.device.gpu.createBindGroup({
      layout,
      entries: [
        { binding: 0, resource: { buffer: numbers, size: numbersBytes } },
        ...bounds.map(({ slab: { buffer, bytes }, offset }, i) => ({
          binding: i + 1,
          resource: { buffer, offset, size: bytes - offset },
        })),
      ],
    });
  }

  /** Forgets what names a slab, which is about to be destroyed. */
  forget({ bindGroups }: Slab): void {
    for (const key of bindGroups) this.#bindGroups.delete(key);
  }
}
