import type { ModuleRows } from '../walk/index.js';
import {
  NotFiniteError,
  allFinite,
  type Engine,
  type Tensor,
  type Weight,
  type WeightSource,
} from '../engine/index.js';

/** The tokens of one row that visit an expert: places in the row. */
export type Visits = readonly Uint32Array[];

/**
 * The tokens that visit each expert, [experts][rows]: the top `topK` of the router's logits, equal ones by the lower
 * index, as the engine routes.
 */
export async function routedTokens(
  engine: Engine,
  inputs: Iterable<Float32Array>,
  router: Weight,
  topK: number,
): Promise<Visits[]> {
  const [experts, width] = router.shape;
  const visits = Array.from({ length: experts }, (): Uint32Array[] => []);
  for (const input of inputs) {
    using _scope = engine.scope();
    const tokens = input.length / width;
    const [logits] = engine.linear(engine.tensor(input, [tokens, width]), [{ weight: router }]);
    const values = await engine.readFloats(logits);
    if (!allFinite(values)) throw new NotFiniteError(`the logits of ${router.name} are not finite`);
    const places = visits.map((): number[] => []);
    for (let token = 0; token < tokens; token++)
      for (const expert of largest(values.subarray(token * experts, (token + 1) * experts), topK))
        places[expert].push(token);
    places.forEach((of, expert) => visits[expert].push(Uint32Array.from(of)));
  }
  return visits;
}

const largest = (values: Float32Array, count: number): number[] =>
  [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, count);

export const visitCount = (visits: Visits): number => visits.reduce((sum, { length }) => sum + length, 0);

/** The rows [tokens, width] of `input` at these places. */
export function gatherRows(engine: Engine, input: Float32Array, places: Uint32Array, width: number): Tensor {
  const values = new Float32Array(places.length * width);
  places.forEach((place, i) => values.set(input.subarray(place * width, (place + 1) * width), i * width));
  return engine.tensor(values, [places.length, width]);
}

/**
 * The tokens to calibrate each expert of a layer on: those that visit it, or all, where fewer than `floor` do; `warn` is
 * told which experts that concerns, with counts. `inputs` are the mixture's, [T, D] a row.
 */
export async function calibrationVisits(
  { model, rows }: Pick<ModuleRows, 'model' | 'rows'>,
  layer: number,
  topK: number,
  inputs: readonly Float32Array[],
  source: WeightSource,
  { expertFloor: floor }: { readonly expertFloor: number },
  warn: (text: string) => void,
): Promise<Visits[]> {
  using router = await model.engine.pack(source, 'linear');
  const visits = await routedTokens(model.engine, inputs, router, topK);
  const few = [...visits.keys()].filter((expert) => visitCount(visits[expert]) < floor);
  if (few.length === 0) return visits;
  const all: Visits = rows.map(({ length }) => Uint32Array.from({ length }, (_, i) => i));
  const counts = few.map((expert) => `${expert} (${visitCount(visits[expert])})`).join(', ');
  warn(
    `layer ${layer}: fewer than ${floor} tokens visit expert${few.length > 1 ? 's' : ''} ${counts}, calibrated on all ${visitCount(all)} tokens instead`,
  );
  return visits.map((of, expert) => (few.includes(expert) ? all : of));
}
