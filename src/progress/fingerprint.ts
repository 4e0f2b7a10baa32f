import { createHash, type Hash } from 'node:crypto';
import { bytesPerElement, sizeOf, type WeightSource } from '../engine/index.js';
import { allWeights, fusedNames, tensorNames, type Model, type Parameters, type WeightSpec } from '../models/index.js';
import { rowsDigest } from '../text/index.js';

/** What a result depends on, part by part: digests (SHA-256, hexadecimal) or short texts. */
export type Fingerprint = Readonly<Record<string, string>>;

export interface FingerprintInput {
  readonly model: Pick<Model, 'config' | 'description' | 'drops' | 'engine' | 'parameters'>;
  /** Rows of tokens, by what they are for: `{ 'calibration rows': rows }`. */
  readonly rows: Readonly<Record<string, readonly Int32Array[]>>;
  /** Anything that JSON holds. What is undefined does not count. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Version of llm-drop. */
  readonly version: string;
}

/** Bytes at either end of each tensor that are read: finds other weights under the same header without reading all. */
const sampled = 4096;

/**
 * Names all that a measurement depends on, so that an interrupted one is continued only where it would go on the same.
 * Weights are sampled: a change in the middle of a tensor alone goes unnoticed.
 */
export async function fingerprintOf({ model, rows, settings, version }: FingerprintInput): Promise<Fingerprint> {
  const { name, abilities } = model.engine.backend;
  return {
    configuration: digest(JSON.stringify(model.config)),
    weights: await weightsDigest(model),
    'dropped modules': digest(JSON.stringify(model.drops)),
    ...Object.fromEntries(Object.entries(rows).map(([use, tokens]) => [use, rowsDigest(tokens)])),
    ...Object.fromEntries(
      Object.entries(settings)
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => [key, JSON.stringify(value)]),
    ),
    backend: name,
    tier: abilities.tier,
    'version of llm-drop': version,
  };
}

/** The parts that differ, those included that only one of them has. */
export function fingerprintDifferences(before: Fingerprint, now: Fingerprint): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((part) => before[part] !== now[part]);
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Names, shapes and types of all tensors that the model can use, and both ends of each: of a weight those of all layers,
 * then of the next. Saved progress and recipes hold the digest, so its order stays.
 */
async function weightsDigest({ parameters, description }: Pick<Model, 'description' | 'parameters'>): Promise<string> {
  const hash = createHash('sha256');
  const byPlace = new Map<string, WeightSpec[]>();
  for (const weight of allWeights(description)) byPlace.set(weight.path, [...(byPlace.get(weight.path) ?? []), weight]);
  const names = [...byPlace.values()].flatMap((ofAllLayers) => [
    ...ofAllLayers.flatMap(tensorNames),
    ...ofAllLayers.flatMap(fusedNames),
  ]);
  for (const name of new Set(names)) await hashEnds(hash, parameters, name);
  return hash.digest('hex');
}

async function hashEnds(hash: Hash, parameters: Parameters, name: string): Promise<void> {
  if (!parameters.has(name)) return;
  const source = parameters.source(name);
  const { shape, dtype } = source;
  hash.update(`${name} ${dtype} [${shape.join()}] `);
  const rows = sizeOf(shape.slice(0, -1));
  const wanted = Math.min(rows, Math.ceil(sampled / (rowBytes(source) || sampled)));
  hash.update((await source.readRows(0, wanted)).subarray(0, sampled));
  hash.update((await source.readRows(rows - wanted, rows)).subarray(-sampled));
}

const rowBytes = ({ shape, dtype }: WeightSource): number => (shape.at(-1) ?? 1) * bytesPerElement[dtype];
