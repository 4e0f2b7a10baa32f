import { parseImportance, type Importance } from '../drop/index.js';
import { readJson } from './jsonFiles.js';

/** Scores that were made before, and the rows of the text that they have seen. */
export interface GivenScores {
  readonly importance: Importance;
  readonly seen?: { readonly samples: number; readonly length: number; readonly spread: boolean };
}

/** Scores as `scoreModel` gives them, or a file of them, for a model of so many layers. */
export async function scoresOf(given: string | Importance, layers: number): Promise<GivenScores> {
  const [document, where] = typeof given === 'string' ? [await readJson(given), given] : [given, 'the scores'];
  const importance = parseImportance(document, layers, where);
  if (importance.samples === 0) return { importance };
  const { drawnFrom } = document as { drawnFrom?: unknown };
  const samples = Number.isInteger(drawnFrom) ? Math.max(importance.samples, drawnFrom as number) : importance.samples;
  return { importance, seen: { samples, length: importance.length, spread: importance.spread === true } };
}
