import type { JsonObject } from '../jsonFile.js';
import { pieceTypes, type SentencePieceModel } from './sentencePiece.js';

/** Stands for a space. */
const mark = '▁';

/**
 * A SentencePiece model as the `tokenizer.json` that gives the same ids. Its BPE has `scores` by token id in place of
 * merges, with `unused` pieces beside them, which only this project's encoder reads; `config` is tokenizer_config.json.
 */
export function sentencePieceTokenizer(model: SentencePieceModel, config: JsonObject): JsonObject {
  const { pieces, addDummyPrefix } = model;
  const ofType = (...types: number[]): number[] => pieces.flatMap(({ type }, id) => (types.includes(type) ? [id] : []));
  const special = ofType(pieceTypes.control, pieceTypes.unknown);
  const userDefined = ofType(pieceTypes.userDefined);
  const added = [...special, ...userDefined].sort((a, b) => a - b);
  // Where a text is cut at pieces that a user defined, only its beginning gets the space.
  const firstOnly = config.legacy === false || userDefined.length > 0;
  const spaces = [
    ...(model.removeExtraWhitespaces ? [replace({ Regex: String.raw`\A +| +\z|(?<= ) +` }, '')] : []),
    ...(addDummyPrefix && !firstOnly ? [{ type: 'Prepend', prepend: mark }] : []),
    replace({ String: ' ' }, mark),
  ];
  return {
    added_tokens: added.map((id) => ({
      id,
      content: pieces[id].type === pieceTypes.userDefined ? pieces[id].text.replaceAll(mark, ' ') : pieces[id].text,
      special: pieces[id].type !== pieceTypes.userDefined,
      normalized: false,
    })),
    normalizer: { type: 'Sequence', normalizers: spaces },
    pre_tokenizer: addDummyPrefix && firstOnly ? { type: 'Metaspace', prepend_scheme: 'first', split: false } : null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        replace({ String: mark }, ' '),
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(addDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: model.kind === 'bpe' ? pieceMerges(model) : unigram(model),
  };
}

const replace = (pattern: JsonObject, content: string): JsonObject => ({ type: 'Replace', pattern, content });

function pieceMerges({ pieces, unknownId, byteFallback }: SentencePieceModel): JsonObject {
  const made: readonly number[] = [pieceTypes.normal, pieceTypes.userDefined, pieceTypes.unused];
  return {
    type: 'BPE',
    unk_token: pieces[unknownId].text,
    fuse_unk: true,
    byte_fallback: byteFallback,
    vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
    merges: [],
    // Control tokens and bytes never come of merging.
    scores: pieces.map(({ score, type }) => (made.includes(type) ? score : null)),
    unused: pieces.flatMap(({ text, type }) => (type === pieceTypes.unused ? [text] : [])),
  };
}

function unigram({ pieces, unknownId, byteFallback }: SentencePieceModel): JsonObject {
  const never: readonly number[] = [pieceTypes.control, pieceTypes.byte, pieceTypes.unused];
  return {
    type: 'Unigram',
    unk_id: unknownId,
    byte_fallback: byteFallback,
    // So low that any other way through the text is better.
    vocab: pieces.map(({ text, score, type }) => [text, never.includes(type) ? -1e9 : score]),
  };
}
