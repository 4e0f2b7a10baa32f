import type { Engine } from '../engine/index.js';
import type { Model } from '../models/index.js';
import { llmDropVersion } from './version.js';

/** What a result came from, beside its own numbers. */
export interface Provenance {
  /** Of llm-drop. */
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
    version: llmDropVersion(),
    date: new Date().toISOString(),
    backend: name,
    tier: abilities.tier,
    modelType: config.modelType,
    layers: config.numHiddenLayers,
  };
}

/** The programs that a record was made with. */
export interface Versions {
  readonly 'llm-drop': string;
  readonly node: string;
}

export const programVersions = (): Versions => ({ 'llm-drop': llmDropVersion(), node: process.versions.node });

/** The same, and what computed. */
export function versionsOf({ backend }: Engine): Versions & { readonly backend: string; readonly tier: string } {
  return { ...programVersions(), backend: backend.name, tier: backend.abilities.tier };
}
