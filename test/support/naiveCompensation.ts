import { createBatch, decodeFloats, arraySource, type WeightSource } from '../../src/engine/index.js';
import { Model, modulesOf, outputWeight, tensorNames, type Drops, type ModuleKind } from '../../src/models/index.js';
import type { CompensationMode } from '../../src/drop/index.js';

/** What a module did on all rows, one token after the other. */
interface Seen {
  /** The stream behind it, [tokens, D]. */
  after: number[][];
  /** What entered its output projection, [tokens, in]. */
  inputs: number[][];
}

export interface NaiveRefit {
  readonly tensor: string;
  /** W + D, in float64. */
  readonly weight: Float64Array;
  readonly lambda: number;
  /** Sums over tokens of the squared distance from the target. */
  readonly before: number;
  readonly after: number;
}

/** A model of the same weights, but for some of them, loaded. */
export function withWeights(model: Model, weights: ReadonlyMap<string, WeightSource>, drops: Drops): Promise<Model> {
  const { parameters } = model;
  const made = new Model(model.engine, model.description, {
    folder: parameters.folder,
    has: (name) => parameters.has(name),
    source: (name) => weights.get(name) ?? parameters.source(name),
  });
  made.setDrops(drops);
  return made.load();
}

/** Whole passes of a loaded model over all rows, everything kept. */
export async function watch(model: Model, rows: readonly Int32Array[]): Promise<Map<string, Seen>> {
  const { engine } = model;
  const seen = new Map<string, Seen>();
  const at = (layer: number, kind: ModuleKind): Seen => {
    const key = `${kind} ${layer}`;
    return seen.get(key) ?? (seen.set(key, { after: [], inputs: [] }), seen.get(key)!);
  };
  const waiting: (() => Promise<void>)[] = [];
  for (const row of rows) {
    using _scope = engine.scope();
    model.forward(createBatch([row]), {
      observer: {
        input: ({ layer, paths, input }) => {
          for (const [kind, module] of modulesOf(model.description.layers[layer]))
            if (paths.includes(outputWeight(module)?.projection ?? '')) {
              const kept = input.detach();
              waiting.push(async () => void at(layer, kind).inputs.push(...lines(await engine.readFloats(kept), kept)));
              waiting.push(async () => kept.dispose());
            }
        },
        subLayer: ({ layer, kind, after }) => {
          const kept = after.detach();
          waiting.push(async () => void at(layer, kind).after.push(...lines(await engine.readFloats(kept), kept)));
          waiting.push(async () => kept.dispose());
        },
      },
    });
    for (const work of waiting.splice(0)) await work();
  }
  return seen;
}

const lines = (values: Float32Array, { shape: [count, width] }: { shape: readonly number[] }): number[][] =>
  Array.from({ length: count }, (_, i) => Array.from(values.subarray(i * width, (i + 1) * width)));

/** The squared distance of two streams. */
export const distance = (a: readonly number[][], b: readonly number[][]): number =>
  a.reduce((sum, line, t) => sum + line.reduce((s, x, i) => s + (x - b[t][i]) ** 2, 0), 0);

/** The staying modules in running order, each with the dropped ones behind it. */
export function naiveOrder(layers: number, drops: Drops): { layer: number; kind: ModuleKind; behind: string[] }[] {
  const order: { layer: number; kind: ModuleKind; behind: string[] }[] = [];
  for (let layer = 0; layer < layers; layer++)
    for (const kind of ['attention', 'mlp'] as const)
      if (drops[kind].includes(layer)) order.at(-1)?.behind.push(`${kind} ${layer}`);
      else order.push({ layer, kind, behind: [] });
  return order;
}

/**
 * The closed form as the specification has it: whole passes for every projection, everything in memory, sums in float64
 * and Gauss-Jordan elimination. Of a mixture, attentions alone.
 */
export async function naiveCompensation(
  model: Model,
  drops: Drops,
  rows: readonly Int32Array[],
  { mode, alpha }: { mode: CompensationMode; alpha: number },
): Promise<{ refits: NaiveRefit[]; weights: Map<string, WeightSource> }> {
  const refits: NaiveRefit[] = [];
  const weights = new Map<string, WeightSource>();
  using loaded = await withWeights(model, weights, { attention: [], mlp: [] });
  const whole = await watch(loaded, rows);
  const order = naiveOrder(model.layers.length, drops);
  let begun = drops.attention.includes(0);
  for (const { layer, kind, behind } of order) {
    begun ||= behind.length > 0;
    const spec = outputWeight(model.description.layers[layer][kind]);
    if (!spec || !(mode === 'all' ? begun : behind.length > 0)) continue;
    const [tensor] = tensorNames(spec);
    const seen = async (): Promise<Seen> => {
      using dropped = await withWeights(model, weights, drops);
      return (await watch(dropped, rows)).get(`${kind} ${layer}`)!;
    };
    const target = whole.get(behind.at(-1) ?? `${kind} ${layer}`)!.after;
    const { multiplier = 1 } = model.description.layers[layer][kind];
    const { after, ...found } = await seen();
    const inputs = found.inputs.map((line) => line.map((x) => multiplier * x));
    const residuals = target.map((line, t) => line.map((x, i) => x - after[t][i]));
    const n = inputs[0].length;
    const gram = inputs[0].map((_, i) => inputs[0].map((__, j) => inputs.reduce((sum, z) => sum + z[i] * z[j], 0)));
    const cross = inputs[0].map((_, i) =>
      residuals[0].map((__, o) => inputs.reduce((sum, z, t) => sum + z[i] * residuals[t][o], 0)),
    );
    const lambda = (alpha * gram.reduce((sum, line, i) => sum + line[i], 0)) / n;
    const change = solve(
      gram.map((line, i) => line.map((x, j) => x + (i === j ? lambda : 0))),
      cross,
    );
    const source = model.parameters.source(tensor);
    const old = decodeFloats(await source.readRows(0, spec.shape[0]), source.dtype);
    const weight = Float64Array.from(old, (w, i) => w + change[i % n][Math.floor(i / n)]);
    weights.set(tensor, arraySource(Float32Array.from(weight), spec.shape, { name: tensor }));
    refits.push({
      tensor,
      weight,
      lambda,
      before: distance(target, after),
      after: distance(target, (await seen()).after),
    });
  }
  return { refits, weights };
}

/** X of A X = B. */
function solve(a: number[][], b: number[][]): number[][] {
  const rows = a.map((line, i) => [...line, ...b[i]]);
  const n = a.length;
  for (let column = 0; column < n; column++) {
    const best = rows.reduce(
      (most, line, i) => (i >= column && Math.abs(line[column]) > Math.abs(rows[most][column]) ? i : most),
      column,
    );
    [rows[column], rows[best]] = [rows[best], rows[column]];
    const pivot = rows[column][column];
    rows[column] = rows[column].map((x) => x / pivot);
    rows.forEach((line, i) => {
      if (i === column) return;
      const factor = line[column];
      rows[i] = line.map((x, j) => x - factor * rows[column][j]);
    });
  }
  return rows.map((line) => line.slice(n));
}
