import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/** Stands between the documents of a .txt file. */
export const documentSeparator = '<|endoftext|>';

/** A document may have this many UTF-16 units; V8's longest string has about twice as many. */
const longestDocument = 1 << 28;

/**
 * The documents of a text, in order, read as a stream:
 * - `.txt`: documents between `<|endoftext|>`, stripped; empty ones are left out. Without the mark the file is one;
 * - `.jsonl`: one object a line, the text in `field` (default `text`), as it is; blank lines are left out;
 * - a folder: its .txt and .jsonl files in the order of their names.
 *
 * Throws UserError for anything else; a bad line is named by file and number.
 */
export async function* readDocuments(path: string, o: { field?: string } = {}): AsyncGenerator<string> {
  for (const file of await textFiles(path)) {
    if (extname(file) === '.jsonl') yield* jsonLines(file, o.field ?? 'text');
    else yield* separated(file);
  }
}

async function textFiles(path: string): Promise<string[]> {
  try {
    const isText = (name: string): boolean => ['.txt', '.jsonl'].includes(extname(name));
    if (!(await stat(path)).isDirectory()) {
      if (!isText(path)) throw new UserError(`${path}: expected a .txt or a .jsonl file, or a folder of them`);
      return [path];
    }
    const names = (await readdir(path, { withFileTypes: true }))
      .filter((entry) => !entry.isDirectory() && isText(entry.name))
      .map((entry) => entry.name);
    if (!names.length) throw new UserError(`${path} holds no .txt or .jsonl file`);
    return names.sort().map((name) => join(path, name));
  } catch (error) {
    throw fileError(error, 'cannot read', path);
  }
}

async function* separated(path: string): AsyncGenerator<string> {
  for await (const part of splitFile(path, documentSeparator)) {
    const document = part.trim();
    if (document) yield document;
  }
}

async function* jsonLines(path: string, field: string): AsyncGenerator<string> {
  let number = 0;
  for await (const line of splitFile(path, '\n')) {
    number++;
    if (!line.trim()) continue;
    yield textOf(line, field, `${path}, line ${number}`);
  }
}

function textOf(line: string, field: string, place: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new UserError(`${place}: not valid JSON: ${(error as Error).message}`, {
      hint: 'a .jsonl file holds one object a line',
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UserError(`${place}: expected an object, found ${line.slice(0, 40)}`);
  const text = (value as Record<string, unknown>)[field];
  if (typeof text === 'string') return text;
  if (text !== undefined)
    throw new UserError(
      `${place}: expected a string in the field ${field}, found ${JSON.stringify(text).slice(0, 40)}`,
    );
  throw new UserError(`${place}: there is no field ${field}`, {
    hint: `its fields are ${Object.keys(value).join(', ') || 'none'}`,
  });
}

/** The parts of a UTF-8 file between separators, the last one included even when it is empty. */
async function* splitFile(path: string, separator: string): AsyncGenerator<string> {
  const keep = separator.length - 1;
  /** The part so far; only `tail` can still hold the beginning of a separator. */
  let parts: string[] = [];
  let size = 0;
  let tail = '';
  for await (const chunk of decoded(path)) {
    const pieces = (tail + chunk).split(separator);
    for (const piece of pieces.slice(0, -1)) {
      parts.push(piece);
      yield parts.join('');
      parts = [];
      size = 0;
    }
    const rest = pieces[pieces.length - 1];
    const cut = Math.max(0, rest.length - keep);
    parts.push(rest.slice(0, cut));
    tail = rest.slice(cut);
    size += cut;
    if (size > longestDocument)
      throw new UserError(`${path} holds a document of more than ${longestDocument} characters`, {
        hint: `part documents by ${documentSeparator} in a .txt file, by lines in a .jsonl file`,
      });
  }
  yield parts.join('') + tail;
}

async function* decoded(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      throw new UserError(`${path} is not UTF-8 text`, { cause: error });
    }
  };
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) yield decode(chunk as Uint8Array);
  } catch (error) {
    throw fileError(error, 'cannot read', path);
  }
  yield decode();
}
