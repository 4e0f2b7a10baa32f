import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../engine/index.js';
import { checkFile, checkKind, type Output } from './checkFile.js';
import { otherFiles } from './otherFiles.js';
import { placeOf, relation, type Place } from './place.js';

/** All that a job reads and writes, as it was named. */
export interface JobPaths {
  /** Models, texts, scores, a recipe: files and folders. What is undefined does not count. */
  readonly reads: readonly (string | undefined)[];
  readonly writes: readonly Output[];
}

/**
 * Refuses, before any work, what would be in the way after it: an output that is an input, lies in one or holds one,
 * whatever it is called (by links, in another case); two outputs of which the same is true; an output that is of
 * another kind; and what is there already, unless it may be replaced. UserError, naming both paths.
 */
export async function checkOutputs({ reads, writes }: JobPaths): Promise<void> {
  const outputs = await Promise.all(writes.map(async (output) => ({ output, place: await placeOf(output.path) })));
  for (const { output, place } of outputs) checkKind(place, output.kind);
  const written = outputs.map(({ place }) => place);
  const beside = await Promise.all(writes.flatMap((output) => output.beside ?? []).map(placeOf));
  const manyNames = written.some((place) => place.manyNames);
  const inputs = await inputPlaces(
    reads.filter((path) => path !== undefined),
    manyNames,
  );
  for (const place of [...written, ...beside]) checkApart(place, inputs);
  for (const [i, place] of written.entries()) checkBothWritten(place, written.slice(0, i));
  for (const { output, place } of outputs)
    await (output.kind === 'folder' ? checkFolder(place, output.overwrite === true) : checkFile(place, output));
}

/**
 * With each folder go the places to which links in it lead: weights, say, that are kept elsewhere. Where an output has
 * `manyNames`, each of its files may be one of them.
 */
async function inputPlaces(paths: readonly string[], manyNames: boolean): Promise<Place[]> {
  const found: Place[] = [];
  for (const path of paths) {
    const place = await placeOf(path).catch(() => undefined); // what is wrong with it is said by who reads it
    if (!place) continue;
    found.push(place);
    const entries = place.kind === 'folder' ? await readdir(path, { withFileTypes: true }).catch(() => []) : [];
    for (const entry of entries)
      if (entry.isSymbolicLink() || (manyNames && entry.isFile())) {
        const linked = await placeOf(join(path, entry.name)).catch(() => undefined);
        if (linked) found.push(linked);
      }
  }
  return found;
}

const relationWords = { same: 'is', in: 'lies in', holds: 'holds' } as const;

function checkApart(place: Place, inputs: readonly Place[]): void {
  for (const input of inputs) {
    const related = relation(place, input);
    if (!related) continue;
    const what = place.named === input.named ? 'it' : `it ${relationWords[related]} ${input.named}, which`;
    throw new UserError(`cannot write ${place.named}: ${what} is read`, {
      hint: 'choose a place apart from what is read',
    });
  }
}

function checkBothWritten(place: Place, others: readonly Place[]): void {
  for (const other of others) {
    const related = relation(place, other);
    if (related)
      throw new UserError(`cannot write both: ${place.named} ${relationWords[related]} ${other.named}`, {
        hint: 'choose two places',
      });
  }
}

/** Refuses what is in the way of a folder. */
async function checkFolder(place: Place, overwrite: boolean): Promise<void> {
  const { named, path, kind } = place;
  if (kind !== 'folder') return;
  const own = await Promise.all([process.cwd(), homedir()].map(placeOf));
  if (own.some((one) => ['same', 'holds'].includes(relation(place, one) ?? '')))
    throw new UserError(`${named} cannot be replaced as a whole`, { hint: 'name a folder below it' });
  const names = await readdir(path);
  if (names.length === 0) return;
  if (!overwrite)
    throw new UserError(`${named} exists and is not empty`, { hint: 'choose another folder, or give `overwrite`' });
  if (!['config.json', 'compress_report.json'].some((name) => names.includes(name)))
    throw new UserError(`${named} is not a model folder (it has no config.json), so it is not overwritten`, {
      hint: 'remove it yourself or choose another folder',
    });
  const others = await otherFiles(path);
  if (others.length)
    throw new UserError(`${named} holds what is no part of a model: ${listed(others)}, so it is not overwritten`, {
      hint: 'move that away, or choose another folder',
    });
}

/** The first few of them. */
function listed(names: readonly string[], most = 5): string {
  const more = names.length - most;
  return [...names.slice(0, most), ...(more > 0 ? [`${more} more`] : [])].join(', ');
}
