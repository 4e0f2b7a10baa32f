import type { AttentionInputs, Operand } from '../../backend.js';
import type { CacheSpec } from '../../kvCache.js';
import type { Storage } from '../../tensor.js';
import { elementLanes } from '../compiler/kernel.js';
import { attend, mergeSplits, place } from '../kernels/attention.js';
import { foursOf, rowsBytes } from '../layouts/cacheLayout.js';
import type { Machine } from '../runtime/machine.js';
import type { Block } from '../runtime/memory.js';
import type { Places } from './places.js';

/** Keys and values of one layer. */
export class CacheLayer implements Storage, Disposable {
  readonly bytes: number;

  constructor(
    readonly keys: Block,
    readonly values: Block,
  ) {
    this.bytes = keys.bytes + values.bytes;
  }

  free(): void {
    this.keys.free();
    this.values.free();
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

export function createCacheLayer({ memory }: Machine, spec: CacheSpec): CacheLayer {
  const bytes = rowsBytes(spec.slots * spec.capacity, spec);
  return new CacheLayer(memory.create(bytes), memory.create(bytes));
}

/** Legend as in `backend.ts`. Without a cache, keys and values lie in one that is gone when the call is over. */
export function attention(
  machine: Machine,
  all: Places,
  { q, k, v, cache, layer, batch, spec }: AttentionInputs,
): Block {
  const { heads, keyValueHeads, headDim, rotary, scale, window = 2 ** 31 - 1, softCap, slopes } = spec;
  const [tokens, rows] = [batch.tokens.length, q.shape[0]];
  const y = machine.take(rows * heads * headDim);
  if (rows === 0) return y;
  const dtype = cache?.spec.dtype ?? 'float32';
  const passing = (): Block => machine.memory.take(rowsBytes(tokens, { keyValueHeads, headDim, dtype }));
  using own = cache ? undefined : new CacheLayer(passing(), passing());
  const held = own ?? (cache!.storage(layer) as CacheLayer);
  const places = all.of(machine, batch, cache, rows);

  const put = (
    x: Operand,
    y: Block,
    places: Block,
    type: typeof dtype,
    heads: number,
    o: { turned: boolean; cached: boolean },
  ) => {
    const turned = o.turned && rotary !== undefined;
    const count = x.shape[0] * heads * foursOf(headDim);
    machine.run(
      place(headDim, type, turned, o.cached),
      { x, tokens: places, cosines: rotary?.cos ?? x, sines: rotary?.sin ?? x, y },
      { heads, half: rotary?.cos.shape[1] ?? 0, count },
      Math.ceil(count / elementLanes),
    );
  };
  put(k, held.keys, places.tokens, dtype, keyValueHeads, { turned: true, cached: true });
  put(v, held.values, places.tokens, dtype, keyValueHeads, { turned: false, cached: true });
  using turned = machine.take(4 * rows * heads * foursOf(headDim));
  put(q, turned, places.queries, 'float32', heads, { turned: true, cached: false });

  // Few queries leave a GPU idle, unless several workgroups share the keys of each.
  const asking = rows * heads;
  const splits = cache && rows <= machine.plan.mostRows ? machine.plan.keySplits : 1;
  const split = splits > 1;
  using parts = machine.take(split ? asking * splits * headDim : 0);
  using extremes = machine.take(2 * asking * splits);
  machine.run(
    attend({ headDim, dtype, softCap: Boolean(softCap), slopes: Boolean(slopes), split }),
    {
      ...{ q: turned, keys: held.keys, values: held.values, queries: places.queries, slope: slopes ?? turned },
      ...{ y: split ? parts : y, extremes },
    },
    { splits, heads, keyValueHeads, window: Math.min(window, 2 ** 31 - 1), scale, cap: softCap ?? 1 },
    asking * splits,
  );
  const count = asking * headDim;
  if (split)
    machine.run(mergeSplits, { parts, extremes, y }, { splits, headDim, count }, Math.ceil(count / elementLanes));
  return y;
}
