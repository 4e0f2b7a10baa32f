import type { Backend, BackendName } from './backend.js';
import { Engine } from './engine.js';
import { UserError } from './errors.js';

export interface EngineOptions {
  /** Threads to compute with. @defaultValue as many as the backend makes good use of, at most one per core */
  readonly threads?: number;
  /** Which TensorFlow.js backend: its package's last word, e.g. 'node-gpu', 'node', 'wasm', 'cpu'. @defaultValue the first installed, in this order */
  readonly tfjs?: string;
}

const backends: Record<BackendName, (o: EngineOptions) => Promise<Backend>> = {
  reference: async () => new (await import('./reference/referenceBackend.js')).ReferenceBackend(),
  wasm: async (o) => (await import('./wasm/wasmBackend.js')).createWasmBackend(o),
  tfjs: async (o) => (await import('./tfjs/tfjsBackend.js')).createTfjsBackend(o),
};

export const backendNames = Object.keys(backends) as BackendName[];

/** An engine on a backend by name; a backend's code is loaded only when asked for. */
export async function createEngine(name: BackendName = 'wasm', options: EngineOptions = {}): Promise<Engine> {
  if (!(name in backends)) throw new UserError(`there is no backend '${String(name)}'`, { hint: `choose one of ${backendNames.join(', ')}` });
  return new Engine(await backends[name](options));
}
