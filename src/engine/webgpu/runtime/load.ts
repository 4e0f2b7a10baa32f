import { UserError } from '../../errors.js';
import { host } from '../../hosts/index.js';
import type { Gpu, GpuAdapter } from './gpu.js';

const packageName = 'webgpu';
/** Names another module that exports `create` as the package does, or the path of one. */
const setting = 'LLM_DROP_WEBGPU';

/** One for the process: its devices live no longer than it does. */
let gpu: Gpu | undefined;

/** A browser's WebGPU, elsewhere that of npm's `webgpu` (Dawn), which nobody loads, or needs to install, before. */
export async function loadGpu(installed = (name: string) => host.isInstalled(name)): Promise<Gpu> {
  gpu ??= (globalThis as { navigator?: { gpu?: Gpu } }).navigator?.gpu;
  if (gpu) return gpu;
  const name = host.setting(setting) || packageName;
  if (!installed(name)) throw new UserError(`the webgpu backend needs WebGPU: run npm install ${packageName}`);
  try {
    const { create } = (await import(name)) as { create: (options: readonly string[]) => Gpu };
    return (gpu = create([]));
  } catch (cause) {
    const [reason] = String(cause instanceof Error ? cause.message : cause).split('\n');
    throw new UserError(`${name} is installed, but it fails to load: ${reason.trim()}`, { cause });
  }
}

/** The machine's fastest adapter. */
export async function requestAdapter(from: Gpu): Promise<GpuAdapter> {
  const adapter = await from.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  throw new UserError('WebGPU finds no adapter here', {
    hint: "it needs a GPU and its driver: Vulkan's on Linux, where VK_DRIVER_FILES names one by hand",
  });
}
