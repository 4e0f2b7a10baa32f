import { loadTokenizer, openCheckpoint, type Tokenizer } from '../checkpoint/index.js';
import { loadModel, type LoadedModel } from '../models/index.js';
import { loadOptionsOf, type LoadValues } from './command.js';
import type { Ui } from './ui.js';

/** A model, and the tokenizer that lies beside it. */
export interface TextModel extends AsyncDisposable {
  readonly model: LoadedModel;
  readonly tokenizer: Tokenizer;
}

/** Loads a model for work on text. A missing folder or tokenizer is found before any weight is read. */
export async function loadForText(path: string, o: LoadValues, ui: Ui): Promise<TextModel> {
  await (await openCheckpoint(path)).close();
  const tokenizer = await loadTokenizer(path);
  const model = await loadModel(path, {
    ...loadOptionsOf(o),
    onProgress: ui.progress('loading'),
  });
  const { decoded } = model.source;
  if (decoded.length)
    ui.note(
      `${decoded.length} of the quantized weights run as float32: ${decoded[0].name}, for one, since ${decoded[0].reason}`,
    );
  return { model, tokenizer, [Symbol.asyncDispose]: () => model.close() };
}
