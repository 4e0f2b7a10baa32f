import { UserError } from '../engine/index.js';
import { fileError, systemErrorCode } from './fileError.js';
import { parseJson } from './jsonText.js';
import { otherKind } from './otherKinds.js';
import { readWhole, textOf } from './readWhole.js';

export type JsonObject = Record<string, unknown>;

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A file that holds one JSON object; undefined when there is no such file. Throws UserError for anything else in it. */
export async function readJsonObject(path: string): Promise<JsonObject | undefined> {
  let text: string;
  try {
    text = textOf(await readWhole(path));
  } catch (error) {
    // Beside a model that is a file there is none.
    if (['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw fileError(error, 'cannot read', path);
  }
  let value: unknown;
  try {
    value = parseJson(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const other = otherKind(text);
    if (other) throw new UserError(`${path} is ${other.what}`, { hint: other.hint, cause: error });
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`, { cause: error });
  }
  if (!isJsonObject(value))
    throw new UserError(
      `${path} must hold a JSON object, found ${value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`}`,
    );
  return value;
}
