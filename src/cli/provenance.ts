import type { Model } from '../models/index.js';
import { version } from './package.js';

/** What a result came from, beside its own numbers. */
export interface Provenance {
  readonly version: string;
  /** ISO 8601. */
  readonly date: string;
  readonly backend: string;
  /** The instructions that the backend found here. */
  readonly tier: string;
  readonly modelType: string;
  readonly layers: number;
}

export function provenance({ engine, config }: Pick<Model, 'engine' | 'config'>): Provenance {
  const { name, abilities } = engine.backend;
  return {
    version,
    date: new Date().toISOString(),
    backend: name,
    tier: abilities.tier,
    modelType: config.modelType,
    layers: config.numHiddenLayers,
  };
}
