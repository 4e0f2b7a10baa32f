/** Text to token ids and back, from any of the files that say how. */
export { addedTokenOf, type AddedToken } from './addedTokens.js';
export { moreTemplates, type ChatMessage, type ChatTemplateOptions, type ChatTemplates } from './chatTemplate.js';
export { pieceTypes, type Piece, type SentencePieceModel } from './sentencePiece.js';
export { sentencePieceTokenizer } from './sentencePieceTokenizer.js';
export { createTokenizer, loadTokenizer, type Tokenizer } from './tokenizer.js';
export { TextStream } from './textStream.js';
export { readTokenizerFiles, type TokenizerFiles } from './tokenizerFiles.js';
export { checkedTokenizer } from './tokenizerShape.js';
export { turnEnd } from './turnEnd.js';
export { namedSplits, splitJson, splitName, type NamedSplit } from './wordSplits.js';
export { writeTokenizerFiles } from './writeTokenizerFiles.js';
