import { readdir } from 'node:fs/promises';
import { UserError } from '../engine/index.js';

/** Fails before the work where the library would refuse the folder behind it. */
export async function checkVacant(out: string): Promise<void> {
  const held = await readdir(out).catch(() => []);
  if (held.length)
    throw new UserError(`${out} exists and is not empty`, { hint: 'choose another folder, or give `overwrite`' });
}
