import {
  NotFiniteError,
  allFinite,
  decodeFloats,
  type Engine,
  type Freeable,
  type Tensor,
  type Weight,
  type WeightSource,
} from '../engine/index.js';
import { computedSource, packedSource, type Parameters } from './parameters.js';
import type { WeightSpec } from './weights.js';

/** A module's weights as a tree named by their paths, and the way to free them. */
export interface LoadedModule<W> extends Freeable {
  readonly weights: W;
  readonly bytes: number;
}

/** Reads and packs the weights of one module, whose name is left off their paths, or those of none. Frees all if one fails. */
export async function loadModule<W extends object>(
  engine: Engine,
  parameters: Parameters,
  specs: readonly WeightSpec[],
): Promise<LoadedModule<W>> {
  const load = async (spec: WeightSpec): Promise<Tensor | Weight> =>
    spec.use === 'vector'
      ? readVector(engine, computedSource(parameters, spec))
      : engine.pack(await packedSource(parameters, spec), spec.use);
  // All at once, so that one is read while another is packed.
  const outcomes = await Promise.allSettled(specs.map(load));
  const loaded = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const dispose = (): void => loaded.forEach((item) => item.dispose());
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    dispose();
    throw failed.reason;
  }
  const tree: Record<string, unknown> = {};
  specs.forEach(({ module, path }, i) => place(tree, module ? path.slice(module.length + 1) : path, loaded[i]));
  const bytes = loaded.reduce((sum, item) => sum + ('use' in item ? item.bytes : item.storage.bytes), 0);
  return { weights: tree as W, bytes, dispose };
}

async function readVector(engine: Engine, source: WeightSource): Promise<Tensor> {
  const values = decodeFloats(await source.readRows(0, 1), source.dtype);
  if (!allFinite(values))
    throw new NotFiniteError(`tensor ${source.name} holds a value that is not finite`, { tensor: source.name });
  using made = engine.tensor(values);
  return made.detach();
}

/** tree.q.weight = item for the path `q.weight`. */
function place(tree: Record<string, unknown>, path: string, item: unknown): void {
  const keys = path.split('.');
  const last = keys.pop()!;
  const parent = keys.reduce((node, key) => (node[key] ??= {}) as Record<string, unknown>, tree);
  parent[last] = item;
}
