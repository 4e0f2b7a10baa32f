import { parseImportance, type Importance } from '../drop/index.js';
import { UserError } from '../engine/index.js';
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

/** What a job takes of scores that were made before. */
interface ScoresGiven {
  readonly importance?: string | Importance;
  readonly spread?: boolean;
}

/** The scores that a job was given, if any. UserError for those of other rows of a text than it asks for. */
export async function givenScores(o: ScoresGiven, layers: number): Promise<GivenScores | undefined> {
  if (o.importance === undefined) return undefined;
  const scores = await scoresOf(o.importance, layers);
  if (o.spread && scores.seen?.spread === false)
    throw new UserError('`importance` holds scores of the first rows of a text, so `spread` does not go with it', {
      hint: 'score with `spread`, too',
    });
  return scores;
}
