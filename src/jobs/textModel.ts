import type { Tokenizer } from '../checkpoint/index.js';
import { loadModel, openModel, type LoadOptions, type LoadedModel } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';

/** A model and its tokenizer. */
export interface TextModel extends AsyncDisposable {
  readonly model: LoadedModel;
  readonly tokenizer: Tokenizer;
}

/** Loads a model for work on text. What is missing is found before any weight is read. */
export async function loadTextModel(path: string, o: Omit<LoadOptions, 'onProgress'> & JobOptions): Promise<TextModel> {
  const opened = await openModel(path);
  const tokenizer = await opened.source.tokenizer().catch(async (error: unknown) => {
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
