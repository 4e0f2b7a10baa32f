import type { AttentionDescription, LayerDescription, ModelDescription } from '../models/index.js';
import type { ExportPlan } from './exportPlan.js';

/**
 * `deci` alone can leave out a module; everything else is what llama.cpp calls the family
 * (docs/formats.md, 'GGUF dropped modules').
 */
export const architectureOf = ({ conventions }: ModelDescription, { layers }: ExportPlan): string =>
  layers.some(({ attention, mlp }) => attention === 'absent' || mlp === 'absent')
    ? 'deci'
    : conventions.gguf.architecture;

/**
 * Width of the all-zero MLP that stands for a dropped one in `deci`: one block of the quantized types
 * (docs/formats.md, 'GGUF dropped modules'), and no wider than a real one.
 */
export const zeroMlpWidth = ({ mlp }: LayerDescription): number => Math.min(32, mlp.intermediateSize);

/** The layers that turn queries and keys as the config says: in some models others do not, or otherwise. */
export const turningLayer = ({ layers, config }: ModelDescription): AttentionDescription | undefined =>
  layers.map(({ attention }) => attention).find(({ rope }) => rope === config.rope);
