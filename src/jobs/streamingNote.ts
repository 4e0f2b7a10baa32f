import type { Model } from '../models/index.js';
import { formatBytes } from './byteText.js';

/** Why layers are streamed. */
export function streamingNote({ engine }: Pick<Model, 'engine'>, maxMemory: number): string {
  const wasm = engine.backend.name === 'wasm' ? ', or in the 4 GB of WebAssembly' : '';
  return `the weights do not fit in ${formatBytes(maxMemory)}${wasm}: layers are streamed from the disk`;
}
