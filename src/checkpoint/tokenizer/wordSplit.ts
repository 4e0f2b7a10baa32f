import type { JsonObject } from '../jsonFile.js';
import { SplitPreTokenizer } from './library.js';

/** What becomes of the places where a pattern fits, when a text is cut there. */
export type SplitBehavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';

type Pieces = readonly string[];

/** A pattern of `tokenizer.json`, which is Oniguruma's, as a regular expression of JavaScript. */
export function patternOf(pattern: JsonObject): RegExp {
  // The library rewrites one dialect into the other.
  return new SplitPreTokenizer({ type: 'Split', pattern, invert: true }).pattern;
}

/**
 * Cuts a text where a pattern fits, as `NormalizedString.split` of Hugging Face's Rust library; with `invert`, where it
 * does not. The JavaScript library knows two of the behaviors.
 */
export function splitAt(text: string, pattern: RegExp, behavior: SplitBehavior, invert = false): Pieces {
  const pieces = withMatches(text, pattern).map((piece) => ({ ...piece, fits: piece.fits !== invert }));
  const joined: { text: string; fits: boolean }[] = [];
  switch (behavior) {
    case 'Removed':
      return pieces.flatMap((piece) => (piece.fits || !piece.text ? [] : [piece.text]));
    case 'Isolated':
      return pieces.flatMap((piece) => piece.text || []);
    case 'Contiguous':
      for (const piece of pieces) {
        const last = joined.at(-1);
        if (last?.fits === piece.fits) last.text += piece.text;
        else joined.push({ ...piece });
      }
      break;
    case 'MergedWithPrevious': {
      let before = false;
      for (const piece of pieces) {
        const last = joined.at(-1);
        if (piece.fits && !before && last) last.text += piece.text;
        else joined.push({ ...piece });
        before = piece.fits;
      }
      break;
    }
    case 'MergedWithNext': {
      let behind = false;
      for (const piece of pieces.toReversed()) {
        const next = joined[0];
        if (piece.fits && !behind && next) next.text = piece.text + next.text;
        else joined.unshift({ ...piece });
        behind = piece.fits;
      }
    }
  }
  return joined.flatMap((piece) => piece.text || []);
}

/** All of a text in order: where the pattern fits, and what lies between. */
function withMatches(text: string, pattern: RegExp): { text: string; fits: boolean }[] {
  const pieces = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (done < index) pieces.push({ text: text.slice(done, index), fits: false });
    pieces.push({ text: match, fits: true });
    done = index + match.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done), fits: false });
  return pieces;
}
