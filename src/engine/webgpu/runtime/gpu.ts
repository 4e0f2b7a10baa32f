/** What the backend uses of WebGPU (https://www.w3.org/TR/webgpu), so that no package is needed for its types. */
export interface Gpu {
  requestAdapter(options?: { readonly powerPreference?: 'high-performance' }): Promise<GpuAdapter | null>;
}

export interface GpuAdapter {
  readonly info: GpuAdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: GpuLimits;
  requestDevice(descriptor: {
    readonly requiredFeatures: readonly string[];
    readonly requiredLimits: Readonly<Partial<GpuLimits>>;
  }): Promise<GpuDevice>;
}

export interface GpuAdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Whether a processor does the work of a GPU. */
  readonly isFallbackAdapter: boolean;
}

/** Those that this backend asks for, the adapter's own instead of the least that each has. */
export const limitNames = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
] as const;

export type GpuLimits = Readonly<Record<(typeof limitNames)[number], number>>;

export interface GpuDevice {
  readonly queue: GpuQueue;
  readonly limits: GpuLimits;
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>;
  createBuffer(descriptor: { readonly size: number; readonly usage: number }): GpuBuffer;
  createShaderModule(descriptor: { readonly label: string; readonly code: string }): object;
  createBindGroupLayout(descriptor: { readonly entries: readonly object[] }): object;
  createPipelineLayout(descriptor: { readonly bindGroupLayouts: readonly object[] }): object;
  createComputePipeline(descriptor: {
    readonly label: string;
    readonly layout: object;
    readonly compute: { readonly module: object; readonly entryPoint: string };
  }): object;
  createBindGroup(descriptor: { readonly layout: object; readonly entries: readonly object[] }): object;
  createCommandEncoder(): GpuCommandEncoder;
  pushErrorScope(filter: 'out-of-memory' | 'validation' | 'internal'): void;
  popErrorScope(): Promise<{ readonly message: string } | null>;
  addEventListener(
    type: 'uncapturederror',
    listener: (event: { readonly error: { readonly message: string }; preventDefault(): void }) => void,
  ): void;
  destroy(): void;
}

export interface GpuQueue {
  writeBuffer(buffer: GpuBuffer, offset: number, data: ArrayBufferLike, dataOffset: number, bytes: number): void;
  submit(commands: readonly object[]): void;
}

export interface GpuBuffer {
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  destroy(): void;
}

export interface GpuCommandEncoder {
  beginComputePass(): GpuComputePass;
  copyBufferToBuffer(from: GpuBuffer, fromOffset: number, to: GpuBuffer, toOffset: number, bytes: number): void;
  finish(): object;
}

export interface GpuComputePass {
  setPipeline(pipeline: object): void;
  setBindGroup(index: number, group: object, offsets: readonly number[]): void;
  dispatchWorkgroups(x: number, y: number): void;
  end(): void;
}

/** `GPUBufferUsage` of the standard. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 64, storage: 128 } as const;
/** `GPUMapMode.READ` and `GPUShaderStage.COMPUTE`. */
export const mapToRead = 1;
export const computeStage = 4;
