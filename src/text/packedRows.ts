import type { Tokenizer } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { readDocuments } from './documents.js';
import { rowDefaults } from './rowDefaults.js';

/**
 * Where the beginning-of-text token goes, for losses that compare with those of other tools: before each `document`, which
 * it parts from the one before in place of EOS; over the first token of each `row`; or before each document, which is then
 * a row of its own, `alone`, cut to the length.
 */
export type BosPlace = 'document' | 'row' | 'alone';
export const bosPlaces: readonly BosPlace[] = ['document', 'row', 'alone'];

/** What packing needs of a tokenizer; without a chat template, records of chats are refused. */
export type CalibrationTokenizer = Pick<Tokenizer, 'encode' | 'eosId'> &
  Partial<Pick<Tokenizer, 'bosId' | 'chatTemplate' | 'applyChatTemplate'>>;

/** How texts become rows. */
export interface PackingOptions {
  /** Tokens a row; default 2048. */
  length?: number;
  /** Puts the tokenizer's beginning-of-text token somewhere; nowhere by default. */
  bos?: BosPlace;
  /** The model's context in tokens: longer rows are shortened to it, and `note` says so. */
  maxLength?: number;
  /** The field of records that holds the text, or a chat; default `text`, else what records of chats have. */
  field?: string;
}

/** The texts of files or folders, of which nothing is read yet. */
export interface PackedTexts {
  readonly texts: readonly TextRows[];
  readonly length: number;
  /** How the length differs from what was asked for. */
  readonly note?: string;
}

/** UserError where a row would be too short, and for a token that the tokenizer lacks. */
export function packedTexts(
  tokenizer: CalibrationTokenizer,
  files: readonly string[],
  { length: asked = rowDefaults.length, maxLength = Infinity, field, bos }: PackingOptions,
): PackedTexts {
  if (!files.length) throw new UserError('no calibration text is given');
  const marks = marksOf(tokenizer, bos);
  const length = Math.min(asked, maxLength);
  if (length < 2)
    throw new UserError(`a row needs at least 2 tokens, but the model's context is ${maxLength}`, {
      hint: 'the first predicts the second',
    });
  return {
    texts: files.map((file) => new TextRows(tokenizer, marks, file, length, field)),
    length,
    note: length < asked ? `rows of ${length} tokens instead of ${asked}: the model's context is no longer` : undefined,
  };
}

/** There is no full row behind the first `skip`. */
export function noRow({ texts, length }: PackedTexts, skip = 0): UserError {
  const tokens = texts.reduce((sum, text) => sum + text.tokens, 0);
  const behind = skip ? ` behind the first ${skip}` : '';
  return new UserError(
    `${texts.map(({ file }) => file).join(', ')}: not one full row of ${length} tokens${behind}: found ${tokens} tokens, needed ${(skip + 1) * length}`,
    { hint: 'give more text, or ask for fewer or shorter rows' },
  );
}

/** The tokens around each document, and over the first of each row; and whether documents are rows of their own. */
interface Marks {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly first: readonly number[];
  readonly alone: boolean;
}

function marksOf({ bosId, eosId }: CalibrationTokenizer, place: BosPlace | undefined): Marks {
  const given = (name: string, id: number | undefined, key: string): number => {
    if (id !== undefined) return id;
    throw new UserError(`the tokenizer names no ${name}`, { hint: `set ${key} in tokenizer_config.json` });
  };
  const bos = place === undefined ? [] : [given('beginning-of-text token (BOS), which `bos` puts', bosId, 'bos_token')];
  const alone = place === 'alone';
  if (alone || place === 'document') return { before: bos, after: [], first: [], alone };
  const eos = given('end-of-text token (EOS), which parts the documents', eosId, 'eos_token');
  return { before: [], after: [eos], first: bos, alone };
}

/** The rows of one file or folder. */
export class TextRows {
  /** Tokens seen so far. */
  tokens = 0;

  constructor(
    private readonly tokenizer: CalibrationTokenizer,
    private readonly marks: Marks,
    readonly file: string,
    private readonly length: number,
    private readonly field: string | undefined,
  ) {}

  async *rows(): AsyncGenerator<Int32Array> {
    for await (const row of this.marks.alone ? this.#alone() : this.#packed()) {
      row.set(this.marks.first);
      yield row;
    }
  }

  async *#packed(): AsyncGenerator<Int32Array> {
    let row = new Int32Array(this.length);
    for await (const document of this.#documents())
      for (const id of document) {
        row[this.tokens++ % this.length] = id;
        if (this.tokens % this.length) continue;
        yield row;
        row = new Int32Array(this.length);
      }
  }

  async *#alone(): AsyncGenerator<Int32Array> {
    for await (const document of this.#documents()) {
      this.tokens += document.length;
      // A row of one token predicts nothing.
      if (document.length > 1) yield Int32Array.from(document.slice(0, this.length));
    }
  }

  async *#documents(): AsyncGenerator<number[]> {
    const { chatTemplate, applyChatTemplate: chat } = this.tokenizer;
    const o = { field: this.field, chat: chatTemplate === undefined ? undefined : chat };
    const { before, after } = this.marks;
    for await (const document of readDocuments(this.file, o))
      yield [...before, ...this.tokenizer.encode(document), ...after];
  }
}

/** One row of each text in turn, until all have run out. Texts that are left early are closed. */
export async function* inTurn(texts: readonly TextRows[]): AsyncGenerator<Int32Array> {
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
