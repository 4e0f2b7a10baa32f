import { isGguf, openCheckpoint, type ModelSource } from '../checkpoint/index.js';
import { GgufSource } from './gguf/ggufSource.js';

export interface OpenOptions {
  /** The blocks of a GGUF file as the float32 that they stand for, not as the engine holds them. @defaultValue false */
  readonly exact?: boolean;
}

/** Opens a model's folder or GGUF file by its headers. Everything wrong in it is a UserError. */
export const openSource = async (path: string, { exact = false }: OpenOptions = {}): Promise<ModelSource> =>
  (await isGguf(path)) ? GgufSource.open(path, exact) : openCheckpoint(path);
