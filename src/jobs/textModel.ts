import type { Tokenizer } from '../checkpoint/index.js';
import { loadModel, openModel, type LoadOptions, type LoadedModel, type OpenedModel } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';

/** A model and its tokenizer. */
export interface TextModel extends AsyncDisposable {
  readonly model: LoadedModel;
  readonly tokenizer: Tokenizer;
}

/**
 * Loads a model for work on text. What is missing is found before any weight is read; so is what `check` finds wrong with
 * the tokenizer.
 */
export async function loadTextModel(
  path: string,
  o: Omit<LoadOptions, 'onProgress'> & JobOptions,
  check?: (tokenizer: Tokenizer) => void,
): Promise<TextModel> {
  const opened = await openModel(path);
  const tokenizer = await tokenizerOf(opened, check).catch(async (error: unknown) => {
    await opened.source.close();
    throw error;
  });
  const model = await loadModel(opened, { ...o, onProgress: stageOf(o, 'loading') });
  model.notes.forEach((note) => o.onNote?.(note));
  const { decoded } = model.source;
  if (decoded.length)
    o.onNote?.(
      `${decoded.length} of the quantized weights run as float32: ${decoded[0].name}, for one, since ${decoded[0].reason}`,
    );
  return { model, tokenizer, [Symbol.asyncDispose]: () => model.close() };
}

async function tokenizerOf({ source }: OpenedModel, check?: (tokenizer: Tokenizer) => void): Promise<Tokenizer> {
  const tokenizer = await source.tokenizer();
  check?.(tokenizer);
  return tokenizer;
}
