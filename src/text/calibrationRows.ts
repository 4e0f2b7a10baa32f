import type { Tokenizer } from '../checkpoint/index.js';
import { UserError, checkOptions, number, text, whole, type Options } from '../engine/index.js';
import { readDocuments } from './documents.js';

export interface CalibrationOptions {
  /** Rows wanted; default 256. */
  samples?: number;
  /** Tokens a row; default 2048. */
  length?: number;
  /** The model's context in tokens: longer rows are shortened to it, and `note` says so. */
  maxLength?: number;
  /** Rows to leave out at the beginning: with the number used for calibration the rows are held out from it. */
  skip?: number;
  /** The field of records that holds the text, or a chat; default `text`, else what records of chats have. */
  field?: string;
}

/** What these may be; a model's context may have no end. */
const calibrationOptions: Options<CalibrationOptions> = {
  samples: whole(1),
  length: whole(2),
  maxLength: number(
    'a whole number of at least 1',
    (tokens) => tokens === Infinity || (tokens >= 1 && tokens % 1 === 0),
  ),
  skip: whole(0),
  field: text,
};

export interface CalibrationRows {
  /** Each of `length` token ids. */
  rows: Int32Array[];
  length: number;
  /** Rows asked for; `rows` holds fewer when the text ran out. */
  requested: number;
  /** How the rows differ from what was asked for. */
  note?: string;
  /** Full rows in the whole text, skipped ones included; known only when the text ran out. */
  available?: number;
}

/** What packing needs of a tokenizer; without a chat template, records of chats are refused. */
export type CalibrationTokenizer = Pick<Tokenizer, 'encode' | 'eosId'> &
  Partial<Pick<Tokenizer, 'chatTemplate' | 'applyChatTemplate'>>;

/**
 * Packs texts into rows of equal length as LLM-Drop does (docs/formats.md, 'Calibration rows'): every document is
 * tokenized without special tokens and followed by EOS; all are joined and cut into rows, and the remainder is
 * discarded. Several files (or folders) take turns, one row each; one that has run out is left out. Only as much text
 * is tokenized as the rows need. Gives rows [skip, skip + samples), fewer when the text is shorter; UserError when
 * there is none.
 */
export async function calibrationRows(
  tokenizer: CalibrationTokenizer,
  files: readonly string[],
  o: CalibrationOptions = {},
): Promise<CalibrationRows> {
  checkOptions(o, calibrationOptions);
  const { samples = 256, length: asked = 2048, maxLength = Infinity, skip = 0, field } = o;
  if (!files.length) throw new UserError('no calibration text is given');
  const eos = tokenizer.eosId;
  if (eos === undefined)
    throw new UserError('the tokenizer names no end-of-text token (EOS), which parts the documents', {
      hint: 'set eos_token in tokenizer_config.json',
    });

  const length = Math.min(asked, maxLength);
  if (length < 2)
    throw new UserError(`a row needs at least 2 tokens, but the model's context is ${maxLength}`, {
      hint: 'the first predicts the second',
    });
  const notes =
    length < asked ? [`rows of ${length} tokens instead of ${asked}: the model's context is no longer`] : [];
  const texts = files.map((file) => new PackedText(tokenizer, eos, file, length, field));
  const rows: Int32Array[] = [];
  let seen = 0;
  for await (const row of inTurn(texts)) {
    if (seen++ < skip) continue;
    rows.push(row);
    if (rows.length === samples) return { rows, length, requested: samples, note: notes[0] };
  }
  const behind = skip ? ` behind the first ${skip}` : '';
  if (!rows.length) {
    const tokens = texts.reduce((sum, text) => sum + text.tokens, 0);
    throw new UserError(
      `${files.join(', ')}: not one full row of ${length} tokens${behind}: found ${tokens} tokens, needed ${(skip + 1) * length}`,
      { hint: 'give more text, or ask for fewer or shorter rows' },
    );
  }
  notes.push(`${rows.length} rows of ${length} tokens instead of ${samples}: the text holds no more${behind}`);
  return { rows, length, requested: samples, note: notes.join('; '), available: seen };
}

/** The rows of one file or folder. */
class PackedText {
  /** Tokens seen so far. */
  tokens = 0;

  constructor(
    private readonly tokenizer: CalibrationTokenizer,
    private readonly eos: number,
    private readonly file: string,
    private readonly length: number,
    private readonly field: string | undefined,
  ) {}

  async *rows(): AsyncGenerator<Int32Array> {
    let row = new Int32Array(this.length);
    const { chatTemplate, applyChatTemplate: chat } = this.tokenizer;
    const o = { field: this.field, chat: chatTemplate === undefined ? undefined : chat };
    for await (const document of readDocuments(this.file, o)) {
      for (const id of [...this.tokenizer.encode(document), this.eos]) {
        row[this.tokens++ % this.length] = id;
        if (this.tokens % this.length) continue;
        yield row;
        row = new Int32Array(this.length);
      }
    }
  }
}

/** One row of each text in turn, until all have run out. Texts that are left early are closed. */
async function* inTurn(texts: readonly PackedText[]): AsyncGenerator<Int32Array> {
  let streams = texts.map((text) => text.rows());
  try {
    while (streams.length) {
      const going = [];
      for (const stream of streams) {
        const next = await stream.next();
        if (next.done) continue;
        yield next.value;
        going.push(stream);
      }
      streams = going;
    }
  } finally {
    await Promise.all(streams.map((stream) => stream.return(undefined)));
  }
}
