import type { Shape } from '../engine/index.js';

/** What is known of a checkpoint's tensors without reading them. */
export interface TensorList {
  tensorNames(): string[];
  info(name: string): { readonly shape: Shape; readonly bytes: number };
}

/** How much a file can hold of what a config counts: nothing is made by the config alone. */
export interface Held {
  readonly tensors: number;
  /** Experts of one tensor each, or of a stack. */
  readonly experts: number;
}

/** By the headers of a file. */
export function heldBy(tensors: TensorList): Held {
  const names = tensors.tensorNames();
  const stacks = names.map((name) => tensors.info(name)).filter(({ shape, bytes }) => shape.length === 3 && bytes > 0);
  const largest = stacks.reduce((most, { shape }) => Math.max(most, shape[0]), 0);
  return { tensors: names.length, experts: Math.max(names.length, largest) };
}

/** Of a model that is of no file. */
export const mostHeld: Held = { tensors: 2 ** 16, experts: 2 ** 16 };
