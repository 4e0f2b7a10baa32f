import { UserError } from '../../engine/index.js';
import { protobufFields } from './protobuf.js';

/** `SentencePiece.Type`, which GGUF uses too. */
export const pieceTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Piece {
  readonly text: string;
  /** Of pieces that could be joined those of the highest score are. */
  readonly score: number;
  /** One of `pieceTypes`. */
  readonly type: number;
}

/** What a `tokenizer.model` holds (Kudo and Richardson 2018). */
export interface SentencePieceModel {
  readonly kind: 'bpe' | 'unigram';
  /** By token id. */
  readonly pieces: readonly Piece[];
  readonly unknownId: number;
  /** -1 where there is none. */
  readonly bosId: number;
  readonly eosId: number;
  /** What characters are folded into (see `CharacterMap`). */
  readonly characterMap?: Uint8Array;
  /** Characters that are no piece become their bytes. */
  readonly byteFallback: boolean;
  /** A space before every text. */
  readonly addDummyPrefix: boolean;
  /** Spaces at both ends go, and runs of them become one. */
  readonly removeExtraWhitespaces: boolean;
}

/** Fields of sentencepiece_model.proto. */
const model = { pieces: 1, trainer: 2, normalizer: 3 } as const;
const piece = { text: 1, score: 2, type: 3 } as const;
const trainer = { kind: 3, asSuffix: 24, byteFallback: 35, unknownId: 40, bosId: 41, eosId: 42 } as const;
const normalizer = { characters: 2, addDummyPrefix: 3, removeExtraWhitespaces: 4, escape: 5 } as const;
const kinds: Readonly<Record<number, string>> = { 1: 'unigram', 2: 'bpe', 3: 'word', 4: 'char' };

/** Reads the bytes of a `tokenizer.model`. UserError that names `path` where it is none, or of a kind that is not read. */
export function readSentencePiece(bytes: Uint8Array, path: string): SentencePieceModel {
  const fail = (problem: string, hint?: string): never => {
    throw new UserError(`${path} ${problem}`, { hint });
  };
  const begin = new TextDecoder().decode(bytes.subarray(0, 64));
  if (/^[A-Za-z0-9+/]+=* \d+\n/.test(begin))
    fail('is a vocabulary of tiktoken, which is not read', 'save the tokenizer as tokenizer.json with transformers');
  if (begin.startsWith('version https://git-lfs')) fail('is a pointer of git-lfs, not the file', 'run git lfs pull');
  const pieces: Piece[] = [];
  const of = { trainer: new Map<number, number>(), normalizer: new Map<number, number>() };
  let characterMap: Uint8Array | undefined;
  try {
    for (const field of protobufFields(bytes)) {
      if (field.number === model.pieces) pieces.push(pieceOf(field.bytes));
      if (field.number === model.trainer)
        for (const { number, value } of protobufFields(field.bytes)) of.trainer.set(number, value);
      if (field.number === model.normalizer)
        for (const { number, value, bytes: text } of protobufFields(field.bytes)) {
          of.normalizer.set(number, value);
          if (number === normalizer.characters && text.length) characterMap = text;
        }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`${path} is not a SentencePiece model: ${error.message}`, { cause: error });
  }
  if (pieces.length === 0) fail('is not a SentencePiece model: it has no pieces');
  const kind = kinds[of.trainer.get(trainer.kind) ?? 1];
  if (kind !== 'bpe' && kind !== 'unigram') fail(`is a SentencePiece model of the kind ${kind}, which is not read`);
  if (of.trainer.get(trainer.asSuffix))
    fail('puts spaces behind words (treat_whitespace_as_suffix), which is not read');
  if (of.normalizer.get(normalizer.escape) === 0)
    fail('keeps spaces as they are (escape_whitespaces), which is not read');
  const unknownId = pieces.findIndex(({ type }) => type === pieceTypes.unknown);
  if (unknownId < 0) fail('has no piece for what is unknown');
  return {
    kind: kind as 'bpe' | 'unigram',
    pieces,
    unknownId,
    bosId: of.trainer.get(trainer.bosId) ?? 1,
    eosId: of.trainer.get(trainer.eosId) ?? 2,
    characterMap,
    byteFallback: of.trainer.get(trainer.byteFallback) === 1,
    addDummyPrefix: of.normalizer.get(normalizer.addDummyPrefix) !== 0,
    removeExtraWhitespaces: of.normalizer.get(normalizer.removeExtraWhitespaces) !== 0,
  };
}

function pieceOf(message: Uint8Array): Piece {
  let [text, score, type]: [string, number, number] = ['', 0, pieceTypes.normal];
  for (const { number, value, bytes } of protobufFields(message)) {
    if (number === piece.text) text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
    if (number === piece.score) score = value;
    if (number === piece.type) type = value;
  }
  return { text, score, type };
}
