import { isGguf, openCheckpoint, type ModelSource } from '../checkpoint/index.js';
import { GgufSource, type Blocks } from './gguf/ggufSource.js';

export interface OpenOptions {
  /** As what the quantized blocks of a GGUF file are read. @defaultValue 'integers' */
  readonly blocks?: Blocks;
}

/** Opens a model's folder or GGUF file by its headers. Everything wrong in it is a UserError. */
export const openSource = async (path: string, { blocks }: OpenOptions = {}): Promise<ModelSource> =>
  (await isGguf(path)) ? GgufSource.open(path, blocks) : openCheckpoint(path);
