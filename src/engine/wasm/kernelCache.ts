import type { KernelModule, Launch } from './kernel.js';
import type { Argument, BoundKernel, Call } from './task.js';
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

interface Instance {
  /** Functions that compute at once. */
  readonly launch: Record<string, (values: Record<string, number>) => void>;
  readonly bound: Record<string, BoundKernel>;
  readonly parameters: Readonly<Record<string, readonly string[]>>;
}

/** A module's kernels as functions that describe a call, for a task. */
export type Calls<E> = {
  readonly [N in keyof E]: E[N] extends { parameters: infer P }
    ? (values: { readonly [A in keyof P]: Argument }) => Call
    : never;
};

/** Kernels that threads know by number. */
export class Numbering {
  /** What other threads need for the same: modules in the order in which their kernels were numbered. */
  readonly modules: { module: WasmModule; names: readonly string[]; memory: WasmMemory }[] = [];
  /** By their numbers. */
  readonly kernels: BoundKernel[] = [];
}

/** Kernels bound to one memory, instantiated when first used. */
export class KernelCache {
  readonly #instances = new Map<AnyModule, Instance>();
  readonly #calls = new Map<AnyModule, unknown>();

  constructor(
    private readonly memory: WasmMemory,
    private readonly numbering = new Numbering(),
  ) {}

  get<E>(kernels: KernelModule<E>): Launch<E> {
    return this.#instance(kernels).launch as Launch<E>;
  }

  calls<E>(kernels: KernelModule<E>): Calls<E> {
    let found = this.#calls.get(kernels);
    if (!found) {
      const { bound, parameters } = this.#instance(kernels);
      found = Object.fromEntries(
        Object.entries(parameters).map(([name, names]) => [
          name,
          (values: Record<string, Argument>): Call => ({
            kernel: bound[name],
            values: names.map((parameter) => values[parameter]),
          }),
        ]),
      );
      this.#calls.set(kernels, found);
    }
    return found as Calls<E>;
  }

  #instance(kernels: AnyModule): Instance {
    let instance = this.#instances.get(kernels);
    if (!instance) {
      instance = this.#instantiate(kernels);
      this.#instances.set(kernels, instance);
    }
    return instance;
  }

  #instantiate(kernels: AnyModule): Instance {
    const { module, parameters } = compile(kernels);
    const { exports } = new webAssembly.Instance(module, { env: { memory: this.memory } });
    const launch: Instance['launch'] = {};
    const bound: Instance['bound'] = {};
    for (const [name, names] of Object.entries(parameters)) {
      const run = exports[name] as BoundKernel['run'];
      bound[name] = { id: this.numbering.kernels.length, run };
      this.numbering.kernels.push(bound[name]);
      // One array for all calls: kernels neither keep it nor call each other through here.
      const inOrder = names.map(() => 0);
      launch[name] = (values) => {
        for (let i = 0; i < names.length; i++) inOrder[i] = values[names[i]];
        run.apply(undefined, inOrder);
      };
    }
    this.numbering.modules.push({ module, names: Object.keys(parameters), memory: this.memory });
    return { launch, bound, parameters };
  }
}
