import type { KernelModule, Launch } from './kernel.js';
import { webAssembly, type WasmMemory, type WasmModule } from './webAssembly.js';

type AnyModule = KernelModule;

interface Compiled {
  readonly module: WasmModule;
  readonly parameters: Readonly<Record<string, readonly string[]>>;
}

/** Compiled once a process: modules do not depend on a memory. */
const compiled = new WeakMap<AnyModule, Compiled>();

function compile(kernels: AnyModule): Compiled {
  let found = compiled.get(kernels);
  if (!found) {
    const { bytes, parameters } = kernels.emit();
    found = { module: new webAssembly.Module(bytes), parameters };
    compiled.set(kernels, found);
  }
  return found;
}

/** Kernels bound to one memory, instantiated when first used. */
export class KernelCache {
  readonly #instances = new Map<AnyModule, unknown>();

  constructor(private readonly memory: WasmMemory) {}

  get<E>(kernels: KernelModule<E>): Launch<E> {
    let launch = this.#instances.get(kernels) as Launch<E> | undefined;
    if (!launch) {
      launch = this.#instantiate(kernels) as Launch<E>;
      this.#instances.set(kernels, launch);
    }
    return launch;
  }

  #instantiate(kernels: AnyModule): Record<string, (values: Record<string, number>) => void> {
    const { module, parameters } = compile(kernels);
    const { exports } = new webAssembly.Instance(module, { env: { memory: this.memory } });
    return Object.fromEntries(
      Object.entries(parameters).map(([name, names]) => {
        const kernel = exports[name] as (...values: number[]) => void;
        // One array for all calls: kernels neither keep it nor call each other through here.
        const inOrder = names.map(() => 0);
        return [
          name,
          (values: Record<string, number>) => {
            for (let i = 0; i < names.length; i++) inOrder[i] = values[names[i]];
            kernel.apply(undefined, inOrder);
          },
        ];
      }),
    );
  }
}
