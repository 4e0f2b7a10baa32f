import type * as core from '@tensorflow/tfjs-core';
import { UserError } from '../errors.js';
import { host } from '../hosts/index.js';
import { choices, tfjsChoices, type Choice } from './choices.js';

/** The functions of TensorFlow.js, from whichever package was loaded. */
export type Tf = typeof core;
export type Tensor = core.Tensor;

/** TensorFlow.js with the backend that was chosen from it. */
export interface Tfjs {
  readonly tf: Tf;
  /** As TensorFlow.js registers it: 'tensorflow', 'wasm' or 'cpu'. */
  readonly registered: string;
  readonly package: string;
  readonly version: string;
  readonly threads: number;
  /** Whether it computes on a GPU. */
  readonly gpu: boolean;
}

/** Whether a package can be found from here; a test replaces it. */
export type Installed = (name: string) => boolean;

/** The package whose TensorFlow this process has: another would register itself under the same name. */
let loadedNative: string | undefined;

/** Loads TensorFlow.js by the choice's name; nothing of it is loaded, or needs to be installed, before. */
export async function loadTfjs(
  choice: string | undefined,
  threads?: number,
  installed: Installed = (name) => host.isInstalled(name),
): Promise<Tfjs> {
  const { registered, packages } = find(choice, installed);
  const native = registered === 'tensorflow';
  const name = packages.at(-1)!;
  if (native && loadedNative !== undefined && loadedNative !== name)
    throw new UserError(`${name} does not load beside ${loadedNative}, which this process computes with already`);
  if (native) host.prepareTensorFlow(threads);
  const tf = await load(packages);
  if (native) loadedNative = name;
  const ready = await tf.setBackend(registered).catch((cause: unknown) => fail(name, cause));
  if (!ready) throw new UserError(`the TensorFlow.js backend '${registered}' of ${name} does not start here`);
  const backend = tf.backend() as { firstUse?: boolean; isUsingGpuDevice?: boolean };
  if (registered === 'cpu') backend.firstUse = false; // silences its advice to use another backend: this one was chosen
  const used = native ? (threads ?? host.cores()) : 1;
  return {
    tf,
    registered,
    package: name,
    version: tf.version_core,
    threads: used,
    gpu: backend.isUsingGpuDevice ?? false,
  };
}

function find(choice: string | undefined, installed: Installed): { registered: string; packages: readonly string[] } {
  const asked = tfjsChoices.find((one) => one === choice);
  if (choice !== undefined && !asked)
    throw new UserError(`there is no TensorFlow.js backend '${choice}'`, {
      hint: `choose one of ${tfjsChoices.join(', ')}`,
    });
  for (const { registered, packages } of (asked ? [asked] : tfjsChoices).map((one): Choice => choices[one])) {
    const group = packages.find((names) => names.every(installed));
    if (group) return { registered, packages: group };
  }
  const [missing] = choices[asked ?? 'node'].packages;
  const which = choice === undefined ? '' : ` with '${choice}'`;
  throw new UserError(`the tfjs backend${which} needs TensorFlow.js: run npm install ${missing.join(' ')}`);
}

async function load(packages: readonly string[]): Promise<Tf> {
  let first: Tf | undefined;
  for (const name of packages) {
    try {
      const loaded = (await import(name)) as Tf & { default?: Tf };
      first ??= loaded.default ?? loaded;
    } catch (cause) {
      fail(name, cause);
    }
    first.enableProdMode(); // or every kernel that another package registered too is a warning
  }
  return first!;
}

function fail(name: string, cause: unknown): never {
  const [reason] = String(cause instanceof Error ? cause.message : cause).split('\n');
  throw new UserError(`${name} is installed, but it fails to load: ${reason.trim()}`, { cause });
}
