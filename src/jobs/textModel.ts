import { loadTokenizer, openCheckpoint, type Tokenizer } from '../checkpoint/index.js';
import { loadModel, type LoadOptions, type LoadedModel } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';

/** A model, and the tokenizer that lies beside it. */
export interface TextModel extends AsyncDisposable {
  readonly model: LoadedModel;
  readonly tokenizer: Tokenizer;
}

/**
 * Loads a model for work on text. A missing folder or tokenizer is found before any weight is read; so is what `check`
 * finds wrong with the tokenizer.
 */
export async function loadTextModel(
  path: string,
  o: Omit<LoadOptions, 'onProgress'> & JobOptions,
  check?: (tokenizer: Tokenizer) => void,
): Promise<TextModel> {
  await (await openCheckpoint(path)).close();
  const tokenizer = await loadTokenizer(path);
  check?.(tokenizer);
  const model = await loadModel(path, { ...o, onProgress: stageOf(o, 'loading') });
  model.notes.forEach((note) => o.onNote?.(note));
  const { decoded } = model.source;
  if (decoded.length)
    o.onNote?.(
      `${decoded.length} of the quantized weights run as float32: ${decoded[0].name}, for one, since ${decoded[0].reason}`,
    );
  return { model, tokenizer, [Symbol.asyncDispose]: () => model.close() };
}
