import { createEngine, type Engine } from '../../src/engine/index.js';

/** Every backend, the reference too; TensorFlow.js on its pure-JavaScript backend, or on the one that LLM_DROP_TFJS names; WebGPU where LLM_DROP_WEBGPU says where it is. */
export const allBackends: [name: string, create: () => Promise<Engine>][] = [
  ['reference', () => createEngine('reference')],
  ['wasm', () => createEngine('wasm')],
  ['tfjs', () => createEngine('tfjs', { tfjs: process.env.LLM_DROP_TFJS || 'cpu' })],
  ...(process.env.LLM_DROP_WEBGPU ? [['webgpu', () => createEngine('webgpu')] satisfies [string, unknown]] : []),
];

export const largestMagnitude = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
