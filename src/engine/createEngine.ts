import type { Backend, BackendChoice, BackendName } from './backend.js';
import { Engine } from './engine.js';
import { engineOptions, type EngineOptions } from './engineOptions.js';
import { UserError } from './errors.js';
import { checkOptions } from './given.js';
import { tfjsChoices } from './tfjs/choices.js';

const backends: Record<BackendName, (o: EngineOptions) => Promise<Backend>> = {
  reference: async () => new (await import('./reference/referenceBackend.js')).ReferenceBackend(),
  wasm: async (o) => (await import('./wasm/wasmBackend.js')).createWasmBackend(o),
  tfjs: async (o) => (await import('./tfjs/tfjsBackend.js')).createTfjsBackend(o),
  webgpu: async () => (await import('./webgpu/webgpuBackend.js')).createWebgpuBackend(),
};

export const backendNames = Object.keys(backends) as BackendName[];

/** All that an engine can be asked for by. */
export const backendChoices: readonly BackendChoice[] = [
  ...backendNames,
  ...tfjsChoices.map((one) => `tfjs:${one}` as const),
];

/**
 * An engine on a backend by name; a backend's code is loaded only when asked for. 'tfjs:node-gpu' is 'tfjs' with that
 * option.
 */
export async function createEngine(choice: BackendChoice = 'wasm', options: EngineOptions = {}): Promise<Engine> {
  if (!backendChoices.includes(choice))
    throw new UserError(`there is no backend '${String(choice)}'`, {
      hint: `choose one of ${backendChoices.join(', ')}`,
    });
  checkOptions(options, engineOptions);
  const [name, tfjs] = choice.split(':') as [BackendName, string?];
  if (tfjs !== undefined && options.tfjs !== undefined && options.tfjs !== tfjs)
    throw new UserError(`the backend '${choice}' does not go with the option \`tfjs\` '${options.tfjs}'`);
  return new Engine(await backends[name](tfjs === undefined ? options : { ...options, tfjs }));
}
