import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UserError } from '../../engine/index.js';
import { fileError } from '../fileError.js';
import type { Place } from './place.js';

/** A file or folder that is written. */
export interface Output {
  readonly path: string;
  /** Of a folder, those that it lies in are made; a file's must be there, unless it is `placed`. */
  readonly kind: 'file' | 'folder';
  readonly placed?: boolean;
  /**
   * Whether what is there is replaced: a file; a file that is a model card of llm-drop's; a folder, if it is a model's
   * and holds nothing else.
   */
  readonly overwrite: boolean | 'own card';
  /** What else is written under names of its own: progress, say. */
  readonly beside?: readonly string[];
}

/** Refuses what is of another kind than what is to be written. */
export function checkKind({ named, kind }: Place, wanted: Output['kind']): void {
  if (wanted === 'file' && kind === 'folder') throw new UserError(`cannot write ${named}: it is a folder, not a file`);
  if (wanted === 'folder' && kind !== 'folder' && kind !== 'absent')
    throw new UserError(`${named} is ${kind === 'file' ? 'a file' : 'no folder'}, expected a folder to write to`);
}

/** Refuses what is in the way of a file. */
export async function checkFile(
  { named, path, kind }: Place,
  { overwrite, placed }: Pick<Output, 'overwrite' | 'placed'>,
): Promise<void> {
  if (kind === 'special') return;
  if (kind === 'file') {
    if (overwrite === 'own card' && !(await isOwnCard(path)))
      throw new UserError(`${named} is no model card of llm-drop, so it is not overwritten`, {
        hint: 'move it away, or choose another name',
      });
    if (!overwrite) throw new UserError(`${named} exists`, { hint: 'choose another name, or give `overwrite`' });
    return;
  }
  if (placed) return;
  await stat(dirname(path)).catch((error: unknown) => {
    throw fileError(error, `cannot write ${named} in`, dirname(path));
  });
}

/** Of the names in a model's folder, `README.md` alone is one that people write too: a model card says who made it. */
export const isOwnCard = async (path: string): Promise<boolean> =>
  !path.endsWith('.md') || (await readFile(path, 'utf8').catch(() => '')).includes('Made with [llm-drop]');
