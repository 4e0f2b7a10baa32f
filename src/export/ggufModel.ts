import { ggufConfig, readValues, type GgufConfig, type GgufFile } from '../checkpoint/index.js';
import { UserError, type Engine } from '../engine/index.js';
import {
  GgufKeys,
  describeModel,
  familyOf,
  ggufName,
  ggufParameters,
  Model,
  modelTypeOfGguf,
  modulesOf,
  rawRope,
  recordedDrops,
  ropeFrequencies,
  withRole,
  type ModelDescription,
  type RopeParameters,
} from '../models/index.js';
import { turningLayer } from './ggufArchitecture.js';

/**
 * A model of what a GGUF file holds, its blocks decoded: the check of an export, and what the quantized weights compute
 * without an engine's own roundings. Nothing is loaded yet. `rope` says which kind of stretching `rope_freqs` is meant to
 * be, and is compared with it.
 */
export async function ggufModel(file: GgufFile, engine: Engine, rope: RopeParameters): Promise<Model> {
  const found = ggufConfig(file);
  const type = modelTypeOfGguf(found.architecture, found.hasExperts, file.path);
  const own = familyOf(type)?.gguf.keys?.(GgufKeys.of(file));
  const keys = { ...found.keys, ...own, model_type: type, rope_parameters: rawRope(rope) };
  const description = describeModel(keys, file.path);
  await checkDropped(file, description);
  await checkRope(file, found, description);
  return new Model(engine, description, ggufParameters(file, description));
}

/** Checks that what stands for a dropped module adds nothing. */
async function checkDropped(file: GgufFile, { config, layers }: ModelDescription): Promise<void> {
  const dropped = recordedDrops(config);
  const stand = layers.flatMap((layer, i) =>
    modulesOf(layer)
      .filter(([kind]) => dropped[kind].includes(i))
      .flatMap(([, { weights }]) => withRole(weights, 'output').map(ggufName)),
  );
  for (const name of stand)
    if (file.has(name) && (await readValues(file.source(name))).some((value) => value !== 0))
      throw new UserError(`${file.path}: ${name} stands for a dropped module, but is not zero`);
}

async function checkRope(file: GgufFile, { rope: said }: GgufConfig, description: ModelDescription): Promise<void> {
  const { path } = file;
  const turning = turningLayer(description);
  if (!turning) return;
  const { headDim, rotaryDim = headDim } = turning;
  const { rope } = description.config;
  if (rope.type === 'yarn' || rope.type === 'longrope') {
    if (said.type !== rope.type) throw new UserError(`${path} lacks the scaling of type ${rope.type}`);
    if (rope.type === 'yarn') return;
    for (const [kind, factors] of Object.entries({ short: rope.shortFactors, long: rope.longFactors })) {
      const found = await readValues(file.source(`rope_factors_${kind}.weight`));
      if (found.join() !== Float32Array.from(factors).join())
        throw new UserError(`${path}: rope_factors_${kind}.weight holds other factors than the model's`);
    }
    return;
  }
  const wanted = ropeFrequencies(rope, rotaryDim).inverse;
  const divisors = said.divisors && (await readValues(said.divisors));
  const scale = said.type === 'linear' ? Number(said.factor) : 1;
  const found = ropeFrequencies({ type: 'default', theta: said.base }, rotaryDim).inverse.map(
    (f, k) => f / (divisors?.[k] ?? 1) / scale,
  );
  const off = found.findIndex((f, k) => Math.abs(f - wanted[k]) > 1e-5 * wanted[k]);
  if (off >= 0) throw new UserError(`${path}: rotary frequency ${off} is ${found[off]}, expected ${wanted[off]}`);
}
