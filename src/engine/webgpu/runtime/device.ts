import { DeviceLostError, UseAfterFreeError } from '../../errors.js';
import { limitNames, type Gpu, type GpuAdapterInfo, type GpuDevice, type GpuLimits } from './gpu.js';
import { requestAdapter } from './load.js';

/** What kernels use where an adapter has it. */
const usedFeatures = ['subgroups'];
/** What is told of an adapter beside it: what faster kernels could use. */
const toldFeatures = [...usedFeatures, 'shader-f16', 'chromium-experimental-subgroup-matrix'];

/** A device with all that its adapter allows, and what has gone wrong on it. */
export class Device {
  #failure: Error | undefined;

  private constructor(
    readonly gpu: GpuDevice,
    readonly adapter: GpuAdapterInfo,
    /** Those of its adapter that matter to kernels. */
    readonly features: ReadonlySet<string>,
  ) {
    gpu.addEventListener('uncapturederror', (event) => {
      event.preventDefault(); // it is told where it is thrown
      this.fail(new Error(`WebGPU: ${event.error.message}`));
    });
    void gpu.lost.then(({ message }) => this.fail(new DeviceLostError(message)));
  }

  static async open(from: Gpu): Promise<Device> {
    const adapter = await requestAdapter(from);
    const among = (features: readonly string[]) => features.filter((feature) => adapter.features.has(feature));
    const requiredLimits = Object.fromEntries(limitNames.map((name) => [name, adapter.limits[name]]));
    const gpu = await adapter.requestDevice({ requiredFeatures: among(usedFeatures), requiredLimits });
    return new Device(gpu, adapter.info, new Set(among(toldFeatures)));
  }

  /** Whether it is a processor that does the work of a GPU. */
  get software(): boolean {
    return this.adapter.isFallbackAdapter;
  }

  get limits(): GpuLimits {
    return this.gpu.limits;
  }

  /** Bytes that one buffer may have for a kernel to see all of it. */
  get largestBinding(): number {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.limits;
    return Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / 256) * 256;
  }

  /** Remembers the first error: calls only enqueue, so that most are heard of later. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Throws what has gone wrong since the device was opened. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  destroy(): void {
    this.fail(new UseAfterFreeError('the webgpu engine'));
    this.gpu.destroy();
  }
}
