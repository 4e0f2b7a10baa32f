import { fileError, readWhole, textOf, writeFileAtomically } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/** Any JSON value. UserError for a file that is missing, endless, or holds none. */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readWhole(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
  try {
    return JSON.parse(textOf(bytes).replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** Appears under its name when it is complete. What is no plain file (a pipe, a device) is written to as it is. */
export const writeJson = (path: string, value: unknown): Promise<void> =>
  writeFileAtomically(path, (file) => file.writeFile(`${JSON.stringify(value, null, 2)}\n`));
