import { UserError } from '../engine/index.js';
import type { Drops, ModelConfig, ModuleKind } from '../models/index.js';

/**
 * What is written of a module: its weights; its weights with the output projection all zero, which computes the same
 * as leaving it out; or nothing.
 */
export type Treatment = 'whole' | 'zero' | 'absent';

/** A layer of the result. */
export interface PlannedLayer {
  /** In the original model. */
  readonly original: number;
  readonly attention: Treatment;
  readonly mlp: Treatment;
}

export interface ExportPlan {
  readonly layers: readonly PlannedLayer[];
}

/** Every layer stays, dropped modules with zero output projections: what any engine runs. */
export function zeroedPlan({ numHiddenLayers }: ModelConfig, drops: Drops): ExportPlan {
  return { layers: layersOf(numHiddenLayers, drops, 'zero') };
}

/** Layers of which nothing is left are taken out; modules dropped from others are treated as said. */
export function reducedPlan({ numHiddenLayers }: ModelConfig, drops: Drops, treatment: Treatment): ExportPlan {
  const layers = layersOf(numHiddenLayers, drops, treatment).filter(
    ({ original }) => !(drops.attention.includes(original) && drops.mlp.includes(original)),
  );
  if (!layers.length)
    throw new UserError('every module of every layer is dropped, so no layer is left to write', {
      hint: '`zero` keeps the layers and zeroes them',
    });
  return { layers };
}

function layersOf(count: number, drops: Drops, treatment: Treatment): PlannedLayer[] {
  const treat = (kind: ModuleKind, layer: number): Treatment => (drops[kind].includes(layer) ? treatment : 'whole');
  return Array.from({ length: count }, (_, original) => ({
    original,
    attention: treat('attention', original),
    mlp: treat('mlp', original),
  }));
}

/** Whether one module of a layer is dropped and the other is not. */
export const hasSubLayerDrops = ({ attention, mlp }: Drops): boolean =>
  attention.some((layer) => !mlp.includes(layer)) || mlp.some((layer) => !attention.includes(layer));

/** Drops in words: `attention of layers 1, 2; MLP of layer 3`. */
export function dropWords({ attention, mlp }: Drops): string {
  const words = (what: string, list: readonly number[]): string[] =>
    list.length ? [`${what} of layer${list.length > 1 ? 's' : ''} ${list.join(', ')}`] : [];
  return [...words('attention', attention), ...words('MLP', mlp)].join('; ') || 'nothing';
}
