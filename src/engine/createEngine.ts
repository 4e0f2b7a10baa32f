import type { Backend, BackendName } from './backend.js';
import { Engine } from './engine.js';
import { engineOptions, type EngineOptions } from './engineOptions.js';
import { UserError } from './errors.js';
import { checkOptions } from './given.js';

const backends: Record<BackendName, (o: EngineOptions) => Promise<Backend>> = {
  reference: async () => new (await import('./reference/referenceBackend.js')).ReferenceBackend(),
  wasm: async (o) => (await import('./wasm/wasmBackend.js')).createWasmBackend(o),
  tfjs: async (o) => (await import('./tfjs/tfjsBackend.js')).createTfjsBackend(o),
  webgpu: async () => (await import('./webgpu/webgpuBackend.js')).createWebgpuBackend(),
};

export const backendNames = Object.keys(backends) as BackendName[];

/** An engine on a backend by name; a backend's code is loaded only when asked for. */
export async function createEngine(name: BackendName = 'wasm', options: EngineOptions = {}): Promise<Engine> {
  if (!Object.hasOwn(backends, name))
    throw new UserError(`there is no backend '${String(name)}'`, { hint: `choose one of ${backendNames.join(', ')}` });
  checkOptions(options, engineOptions);
  return new Engine(await backends[name](options));
}
