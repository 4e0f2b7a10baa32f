import { readdir } from 'node:fs/promises';
import { UserError } from '../engine/index.js';

/** Fails before any work if the library would refuse to write this folder after it. */
export async function checkVacant(out: string): Promise<void> {
  const held = await readdir(out).catch(() => []);
  if (held.length)
    throw new UserError(`${out} exists and is not empty`, { hint: 'choose another folder, or give `overwrite`' });
}
