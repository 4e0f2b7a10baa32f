import { createHash } from 'node:crypto';
import { modelName } from '../checkpoint/index.js';
import { readDocuments } from '../text/index.js';
import { fingerprintOf } from '../progress/index.js';
import { UserError } from '../engine/index.js';
import type { Model } from '../models/index.js';
import type { Recipe, RecipeInputs } from './recipe.js';

/** The model's folder and the calibration text, as a recipe names them. */
export async function inputsOf(folder: string, model: Model, { calibration }: Recipe): Promise<RecipeInputs> {
  const { configuration, weights } = await fingerprintOf({ model, rows: {}, settings: {}, version: '' });
  const texts = (calibration?.files ?? []).map(async (file) => ({
    file,
    documents: await documentsDigest(file, calibration!.field),
  }));
  return {
    model: { name: modelName(folder), configuration, weights },
    calibration: await Promise.all(texts),
  };
}

/**
 * A digest of all documents, each ended by a zero byte, so that a .txt file and a .jsonl file of the same texts have
 * the same.
 */
async function documentsDigest(file: string, field: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const document of readDocuments(file, { field, chat: (messages) => JSON.stringify(messages) }))
    hash.update(document).update('\0');
  return hash.digest('hex');
}

/** Refuses a recipe that was run on something else; names do not count. */
export function checkInputs({ inputs }: Recipe, now: RecipeInputs): void {
  if (!inputs) return;
  const { model, calibration } = inputs;
  const differs = [
    ...(model.configuration === now.model.configuration ? [] : ['the configuration of the model']),
    ...(model.weights === now.model.weights ? [] : ['the weights of the model']),
    ...now.calibration.filter(({ documents }, i) => calibration[i]?.documents !== documents).map(({ file }) => file),
    ...(calibration.length > now.calibration.length ? ['fewer calibration files'] : []),
  ];
  if (differs.length)
    throw new UserError(`the recipe was run on ${model.name} and other inputs: what differs is ${differs.join(', ')}`, {
      hint: 'take inputs out of the recipe to run it on these',
    });
}

/** What a rerun should know: with other versions, numbers may round differently. */
export function versionNotes({ versions }: Recipe, now: NonNullable<Recipe['versions']>): string[] {
  const differs = (Object.keys(now) as (keyof typeof now)[]).filter((key) => versions && versions[key] !== now[key]);
  if (!differs.length) return [];
  const told = (of: typeof now): string => differs.map((key) => `${key} ${of[key]}`).join(', ');
  return [`the recipe was run with ${told(versions!)}, this is ${told(now)}: the result may differ in the last bits`];
}
