import { isLlamaLike } from '../models/index.js';
import type { AttentionDescription, LayerDescription, ModelDescription } from '../models/index.js';
import type { ExportPlan } from './exportPlan.js';

/** What llama.cpp takes for granted of the layers of a plan, and these are not so. */
export function unlike(description: ModelDescription, plan: ExportPlan): string | undefined {
  const { activation = 'silu', unlike: other } = description.conventions.gguf;
  const layers = plan.layers.map(({ original }) => description.layers[original]);
  if (layers.some(({ mlp }) => mlp.activation !== activation)) return `that the activation is ${activation}`;
  return other?.(layers, description);
}

/**
 * `deci` alone can leave out a module, and holds whatever is like Llama; everything else is what llama.cpp calls the family
 * (docs/formats.md, 'GGUF dropped modules').
 */
export function architectureOf(description: ModelDescription, plan: ExportPlan): string {
  const lacksModules = plan.layers.some(({ attention, mlp }) => attention === 'absent' || mlp === 'absent');
  const isOtherwise = isLlamaLike(description) && unlike(description, plan) !== undefined;
  return lacksModules || isOtherwise ? 'deci' : description.conventions.gguf.architecture;
}

/**
 * Width of the all-zero MLP that stands for a dropped one in `deci`: one block of the quantized types
 * (docs/formats.md, 'GGUF dropped modules'), and no wider than a real one.
 */
export const zeroMlpWidth = ({ mlp }: LayerDescription): number => Math.min(32, mlp.intermediateSize);

/** The layers that turn queries and keys as the config says: in some models others do not, or otherwise. */
export const turningLayer = ({ layers, config }: ModelDescription): AttentionDescription | undefined =>
  layers.map(({ attention }) => attention).find(({ rope }) => rope === config.rope);
