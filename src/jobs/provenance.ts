import type { Engine } from '../engine/index.js';
import type { Model } from '../models/index.js';
import { llmDropVersion } from './version.js';

/** What a result came from, beside its own numbers. */
export interface Provenance {
  /** Version of llm-drop. */
  readonly version: string;
  /** ISO 8601. */
  readonly date: string;
  readonly backend: string;
  /** The instructions that the backend found here. */
  readonly tier: string;
  readonly modelType: string;
  readonly layers: number;
  /** What was merged into the weights, in a sentence. */
  readonly merged?: string;
}

export function provenance({
  engine,
  config,
  merged,
}: Pick<Model, 'engine' | 'config'> & Pick<Provenance, 'merged'>): Provenance {
  const { name, abilities } = engine.backend;
  return {
    version: llmDropVersion(),
    date: new Date().toISOString(),
    backend: name,
    tier: abilities.tier,
    modelType: config.modelType,
    layers: config.numHiddenLayers,
    ...(merged !== undefined && { merged }),
  };
}

/** The programs that a record was made with, by their names. */
export type ProgramVersions = Readonly<Record<'llm-drop' | 'node', string>>;

export const programVersions = (): ProgramVersions => ({ 'llm-drop': llmDropVersion(), node: process.versions.node });

/** The same, and what computed: the backend, and the instructions that it found. */
export type Versions = ProgramVersions & Readonly<Record<'backend' | 'tier', string>>;

export const versionsOf = ({ backend }: Engine): Versions => ({
  ...programVersions(),
  backend: backend.name,
  tier: backend.abilities.tier,
});
