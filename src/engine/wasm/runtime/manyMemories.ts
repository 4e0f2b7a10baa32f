/** A backend over as many WebAssembly memories as its weights and caches need, since one memory ends at 4 GiB. */
import type { AttentionInputs, Backend, Recording } from '../../backend.js';
import { UserError } from '../../errors.js';
import { KvCache, type CacheSpec } from '../../kvCache.js';
import { host } from '../../hosts/index.js';
import type { Packable } from '../../packable.js';
import type { Storage } from '../../tensor.js';
import { cacheLayerBytes } from '../layouts/cacheLayout.js';
import { int4Bytes } from '../layouts/int4/int4Panels.js';
import { int8Bytes } from '../layouts/int8/int8Panels.js';
import { panelBytes } from '../layouts/panels.js';
import { Block, Memory } from './memory.js';
import { recordedRows } from './recording.js';

/** A backend on one memory. */
export interface Home extends Backend {
  readonly memory: Memory;
  record(): Recording;
  /** A backend with the same threads on another memory. */
  beside(memory: Memory): Home;
}

/** Operations, which run in the memory where their weights, cache or sums are. */
type Operation = Exclude<
  keyof Backend,
  | 'name'
  | 'abilities'
  | 'upload'
  | 'pack'
  | 'createCacheLayer'
  | 'createAccumulator'
  | 'record'
  | 'recordedRows'
  | 'dispose'
>;
const operations: Readonly<Record<Operation, true>> = {
  read: true,
  matmul: true,
  map: true,
  softmax: true,
  reduce: true,
  argmax: true,
  cast: true,
  embed: true,
  gather: true,
  rmsNorm: true,
  linear: true,
  gatedMlp: true,
  moe: true,
  attention: true,
  crossEntropy: true,
  divergence: true,
  cosine: true,
  gram: true,
  crossGram: true,
  readAccumulator: true,
};

/** The share of a memory that weights and caches leave free for tensors of passes. */
const spareShare = 1 / 8;

/**
 * Weights and caches go to the first memory with room. An operation runs in the memory that holds most of its weights,
 * if the others fit there too; its other operands move there and stay. So the residual stream changes memories once a
 * pass, and the weights of a layer that lies in two memories are together after the first pass. A single memory costs
 * nothing: calls go straight to it.
 */
export function overMemories(first: Home, pages: number): Backend {
  const homes = [first];
  const limit = pages * 65536;
  const spare = spareShare * limit;

  /** A memory with room for `bytes`, and for `left` more besides; a new one if there is none. */
  const roomFor = (bytes: number, left: number): Home => {
    const found = homes.find(({ memory }) => memory.allocator.hasRoom(bytes, left));
    // What no memory can hold goes to the last one, which refuses it.
    if (found || bytes > limit - 2 ** 20) return found ?? homes[homes.length - 1];
    const taken = homes.reduce((sum, { memory }) => sum + memory.allocator.live, 0);
    const most = host.memoryBytes();
    if (taken + bytes > most)
      throw new UserError(
        `${bytes} bytes more are needed, but weights, caches and results take ${taken} of this machine's ${most} bytes already`,
        { hint: 'use a smaller model, a shorter context or quantized weights' },
      );
    const home = first.beside(new Memory(pages));
    homes.push(home);
    return home;
  };

  const homeOf = (operation: Operation, values: readonly unknown[]): Home => {
    const [fixed, moving] = [new Set<Block>(), new Set<Block>()];
    collect(values, fixed, moving);
    if (operation === 'attention') {
      const { cache, layer } = values[0] as AttentionInputs;
      if (cache) fixed.add(cache.storage(layer) as Block);
    }
    const [deciding, left] = fixed.size > 0 ? [fixed, spare] : [moving, 0];
    const coming = ({ memory }: Home): number =>
      [...deciding].reduce((sum, block) => sum + (block.memory === memory ? 0 : block.bytes), 0);
    const withRoom = homes.filter((home) => {
      const bytes = coming(home);
      return bytes === 0 || home.memory.allocator.hasRoom(bytes, left);
    });
    const home = (withRoom.length > 0 ? withRoom : homes).reduce((best, other) =>
      coming(other) < coming(best) ? other : best,
    );
    for (const block of [...fixed, ...moving]) if (block.memory !== home.memory) block.moveTo(home.memory);
    return home;
  };

  const caches = new WeakMap<CacheSpec, Home>();
  /** All layers of a cache in one memory where they fit, so that attention's tables need not move. */
  const cacheHome = (spec: CacheSpec, bytes: number): Home => {
    const home = caches.get(spec);
    if (home?.memory.allocator.hasRoom(bytes, spare)) return home;
    const all = bytes * (home ? 1 : spec.layers.length);
    const chosen = roomFor(all <= limit - spare ? all : bytes, spare);
    caches.set(spec, chosen);
    return chosen;
  };

  const routed = Object.fromEntries(
    (Object.keys(operations) as Operation[]).map((operation) => [
      operation,
      (...values: unknown[]): unknown => {
        const home = homes.length === 1 ? first : homeOf(operation, values);
        return (home[operation] as (...values: unknown[]) => unknown)(...values);
      },
    ]),
  ) as unknown as Pick<Backend, Operation>;

  return {
    ...routed,
    name: first.name,
    abilities: first.abilities,
    upload: (data) => roomFor(data.byteLength, 0).upload(data),
    createAccumulator: (length) => roomFor(8 * length, 0).createAccumulator(length),
    pack: async (source, use) => roomFor(packedBytes(source), spare).pack(source, use),
    createCacheLayer: (spec) => cacheHome(spec, cacheLayerBytes(spec)).createCacheLayer(spec),
    recordedRows,
    record: () => (homes.length === 1 ? first.record() : undefined),
    dispose: () => homes.forEach((home) => home.dispose()),
  };
}

function packedBytes(source: Packable): number {
  if (source.dtype === 'int4') return int4Bytes(source);
  return source.dtype === 'int8' ? int8Bytes(source) : panelBytes(source);
}

/** Blocks of an operation's values: `moving` those of tensors, `fixed` those of weights and running sums. */
function collect(value: unknown, fixed: Set<Block>, moving: Set<Block>): void {
  if (value instanceof Block) fixed.add(value);
  else if (Array.isArray(value)) for (const item of value) collect(item, fixed, moving);
  else if (typeof value === 'object' && value && !ArrayBuffer.isView(value) && !(value instanceof KvCache)) {
    const { storage, dtype } = value as { storage?: Storage; dtype?: unknown };
    if (storage instanceof Block) (dtype === undefined ? fixed : moving).add(storage);
    else for (const item of Object.values(value)) collect(item, fixed, moving);
  }
}
