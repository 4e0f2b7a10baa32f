import type { FusibleModule, KernelModule, Launch, Parameters } from '../compiler/kernel.js';
import { webAssembly, type WasmMemory, type WasmModule } from '../compiler/webAssembly.js';
import type { Delivery } from './takePart.js';
import type { Argument, BoundKernel, Call } from './task.js';

type AnyModule = KernelModule;

interface Compiled {
  readonly module: WasmModule;
  readonly parameters: Readonly<Record<string, Parameters>>;
}

/** Compiled once a process: modules do not depend on a memory. */
const compiled = new WeakMap<AnyModule, Compiled>();

function compile(kernels: AnyModule): Compiled {
  let found = compiled.get(kernels);
  if (!found) compiled.set(kernels, (found = compileAnew(kernels)));
  return found;
}

export function compileAnew(kernels: AnyModule): Compiled {
  const { bytes, parameters } = kernels.emit();
  return { module: new webAssembly.Module(bytes), parameters };
}

interface Instance {
  /** Functions that compute at once. */
  readonly launch: Record<string, (values: Record<string, number>) => void>;
  readonly bound: Bound;
}

/** A module's kernels as functions that describe a call, for a task. */
export type Calls<E> = {
  readonly [N in keyof E]: E[N] extends { parameters: infer P }
    ? (values: { readonly [A in keyof P]: Argument }) => Call
    : never;
};

/** Gives kernels the numbers by which threads know them. */
export class Numbering {
  /** What other threads need to have the same kernels: modules, in the order in which their kernels were numbered. */
  readonly modules: Delivery[] = [];
  /** Kernels by number; undefined for those that were removed. */
  readonly kernels: (BoundKernel | undefined)[] = [];

  /**
   * Instantiates a module on `memory`; its kernels take the next numbers. It may call `imports`, kernels numbered
   * before.
   */
  add({ module, parameters }: Compiled, memory: WasmMemory, imports: readonly BoundKernel[] = []): Bound {
    const names = Object.keys(parameters);
    const { exports } = new webAssembly.Instance(module, {
      env: { memory },
      kernel: Object.fromEntries(imports.map(({ id, run }) => [id, run])),
    });
    const bound: Bound = {};
    for (const name of names) {
      bound[name] = {
        id: this.kernels.length,
        parameters: parameters[name],
        run: exports[name] as BoundKernel['run'],
      };
      this.kernels.push(bound[name]);
    }
    this.modules.push({ module, names, memory, imports: imports.map(({ id }) => id) });
    return bound;
  }

  /** Removes kernels that are not called again. Their numbers are not given to others. */
  remove(kernels: Bound): void {
    const ids = Object.values(kernels).map(({ id }) => id);
    for (const id of ids) this.kernels[id] = undefined;
    this.modules.push({ names: [], removed: ids });
  }
}

type Bound = Record<string, BoundKernel>;

/** Kernels bound to one memory, instantiated when first used. */
export class KernelCache {
  readonly #instances = new Map<AnyModule, Instance>();
  readonly #calls = new Map<AnyModule, unknown>();

  constructor(
    private readonly memory: WasmMemory,
    private readonly numbering = new Numbering(),
    /** Which version of modules that have two. */
    private readonly fused = false,
  ) {}

  get<E>(module: KernelModule<E> | FusibleModule<E>): Launch<E> {
    return this.#instance(this.#version(module)).launch as Launch<E>;
  }

  calls<E>(module: KernelModule<E> | FusibleModule<E>): Calls<E> {
    const kernels = this.#version(module);
    let found = this.#calls.get(kernels);
    if (!found) {
      const { bound } = this.#instance(kernels);
      found = Object.fromEntries(
        Object.entries(bound).map(([name, kernel]) => {
          const names = Object.keys(kernel.parameters);
          return [
            name,
            (values: Record<string, Argument>): Call => ({
              kernel: kernel,
              values: names.map((parameter) => values[parameter]),
            }),
          ];
        }),
      );
      this.#calls.set(kernels, found);
    }
    return found as Calls<E>;
  }

  #version<E>(module: KernelModule<E> | FusibleModule<E>): KernelModule<E> {
    return 'emit' in module ? module : this.fused ? module.fused : module.strict;
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
    const bound = this.numbering.add(compile(kernels), this.memory);
    const launch: Instance['launch'] = {};
    for (const [name, { run, parameters }] of Object.entries(bound)) {
      const names = Object.keys(parameters);
      // One array for all calls: kernels neither keep it nor call each other through here.
      const inOrder = names.map(() => 0);
      launch[name] = (values) => {
        for (let i = 0; i < names.length; i++) inOrder[i] = values[names[i]];
        run.apply(undefined, inOrder);
      };
    }
    return { launch, bound };
  }
}
