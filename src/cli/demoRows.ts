import { join } from 'node:path';
import { exists, type Tokenizer } from '../checkpoint/index.js';
import { splitRows, type SplitRows } from '../text/index.js';
import { UserError } from '../engine/index.js';
import { generate, type Model } from '../models/index.js';
import type { Ui } from './ui.js';

/** Small enough for a minute on two slow cores. */
const size = { samples: 16, heldOut: 8, length: 256 };
const sampledSize = { samples: 8, heldOut: 8 };

/** Seed of the first sampled story; the next has the next. */
const firstSeed = 1;

/** Rows of the text beside the model, `calibration.txt`; without one, rows that the model writes itself. */
export async function demoRows(
  model: Model,
  tokenizer: Tokenizer,
  folder: string,
  ui: Ui,
): Promise<SplitRows & { readonly from: string }> {
  const file = join(folder, 'calibration.txt');
  const maxLength = model.config.maxPositionEmbeddings;
  const length = Math.min(size.length, maxLength);
  if (await exists(file)) return { ...(await splitRows(tokenizer, [file], { ...size, maxLength })), from: file };
  const { samples, heldOut } = sampledSize;
  const rows = await sampledRows(model, tokenizer, samples + heldOut, length, ui);
  return {
    calibration: rows.slice(0, samples),
    heldOut: rows.slice(samples),
    length,
    notes: [],
    from: `sampled from the model (seeds from ${firstSeed})`,
  };
}

/** Texts drawn from the model at temperature 1, each followed by EOS, cut into rows. */
async function sampledRows(
  model: Model,
  tokenizer: Tokenizer,
  count: number,
  length: number,
  ui: Ui,
): Promise<Int32Array[]> {
  const end = tokenizer.eosId;
  if (end === undefined)
    throw new UserError('the tokenizer names no end-of-text token (EOS), which parts the documents');
  const needed = count * length;
  const progress = ui.progress('sampling text');
  const stream: number[] = [];
  for (let seed = firstSeed; stream.length < needed; seed++) {
    const maxTokens = Math.min(length, needed - stream.length);
    const { tokens } = await generate(model, [tokenizer.bosId ?? end], {
      temperature: 1,
      seed,
      maxTokens,
      stopTokens: tokenizer.stopIds,
      signal: ui.signal,
    });
    stream.push(...tokens, end);
    progress(Math.min(stream.length, needed), needed, 'tokens');
  }
  return Array.from({ length: count }, (_, i) => Int32Array.from(stream.slice(i * length, (i + 1) * length)));
}
