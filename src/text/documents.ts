import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { csvRows } from './csv.js';
import { parquetRows } from './parquet.js';
import { documentOf, type RecordOptions } from './records.js';
import { formOf, readText } from './textFile.js';
import { arrayElements, splitText, stripped } from './textParts.js';

/** Stands between the documents of a .txt file. */
export const documentSeparator = '<|endoftext|>';

/** What is read, in words. */
const readForms = 'a .txt, .jsonl, .json or .parquet file, plain or as .gz or .zst (not parquet)';

/** Of a folder the files of the first kinds that it has are read: a .json file beside texts says something about them. */
const kindsInFolder = [['txt', 'jsonl'], ['parquet'], ['json']];

/**
 * The documents of a text, in order, read as a stream, as Python's text mode reads it:
 * - `.txt`: documents between `<|endoftext|>`, stripped; empty ones are left out. Without the mark the file is one;
 * - `.jsonl`: one record a line (see `documentOf`); blank lines are left out;
 * - `.json`: an array of records, or the same as `.jsonl`;
 * - `.parquet`: one record a row;
 * - each but the last also behind `.gz` or `.zst`; endings count in any case;
 * - a folder: its .txt and .jsonl files in the order of their names; without any its .parquet, else its .json files.
 *
 * Throws UserError for anything else; a bad record is named by file and number.
 */
export async function* readDocuments(path: string, o: RecordOptions = {}): AsyncGenerator<string> {
  for (const file of await textFiles(path)) {
    if (formOf(file).ending === 'txt') yield* separated(file);
    else for await (const { record, place } of readRecords(file, o.field ?? 'text')) yield documentOf(record, o, place);
  }
}

/** A record of a file: any JSON value. */
export interface PlacedRecord {
  readonly record: unknown;
  /** For messages. */
  readonly place: string;
}

async function textFiles(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) {
      checkForm(path);
      return [path];
    }
    const names = (await readdir(path, { withFileTypes: true }))
      .filter((entry) => !entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
    for (const kinds of kindsInFolder) {
      const found = names.filter((name) => kinds.includes(formOf(name).ending));
      if (found.length) return found.map((name) => join(path, name));
    }
    throw new UserError(`${path} holds no .txt, .jsonl, .json or .parquet file`);
  } catch (error) {
    throw fileError(error, 'cannot read', path);
  }
}

function checkForm(path: string): void {
  const { ending, compression } = formOf(path);
  if (ending === 'parquet' && compression)
    throw new UserError(`${path}: a parquet file compresses itself`, { hint: 'decompress it first' });
  if (kindsInFolder.flat().includes(ending)) return;
  const hint = ['csv', 'tsv'].includes(ending)
    ? `a ${ending} file is not read: save its column of texts as .jsonl`
    : undefined;
  throw new UserError(`${path}: expected ${readForms}, or a folder of them`, { hint });
}

async function* separated(path: string): AsyncGenerator<string> {
  for await (const part of splitText(readText(path), documentSeparator, path)) {
    const document = stripped(part);
    if (document) yield document;
  }
}

/** Endings of files that hold records; each but parquet also behind `.gz` or `.zst`. */
export const recordEndings: readonly string[] = ['jsonl', 'json', 'parquet', 'csv'];

/**
 * The records of a .jsonl, .json, .parquet or .csv file in order, read as a stream. Of a parquet file's columns, `field`
 * alone is read where it has it. UserError that names file and number for what is no record.
 */
export async function* readRecords(path: string, field?: string): AsyncGenerator<PlacedRecord> {
  switch (formOf(path).ending) {
    case 'csv': {
      let number = 1;
      for await (const record of csvRows(readText(path), path)) yield { record, place: `${path}, row ${++number}` };
      return;
    }
    case 'parquet': {
      let number = 0;
      for await (const record of parquetRows(path, field)) yield { record, place: `${path}, row ${++number}` };
      return;
    }
    case 'json':
      if (await isArray(path)) {
        let number = 0;
        for await (const text of arrayElements(readText(path), path)) {
          const place = `${path}, record ${++number}`;
          yield { record: parsed(text, place, 'a .json file holds an array of records'), place };
        }
        return;
      }
      yield* lineRecords(path, 'a .json file holds an array of records, or one record a line');
      return;
    default:
      yield* lineRecords(path, 'a .jsonl file holds one object a line');
  }
}

async function* lineRecords(path: string, hint: string): AsyncGenerator<PlacedRecord> {
  let number = 0;
  for await (const line of splitText(readText(path), '\n', path)) {
    const place = `${path}, line ${++number}`;
    if (line.trim()) yield { record: parsed(line, place, hint), place };
  }
}

async function isArray(path: string): Promise<boolean> {
  for await (const chunk of readText(path)) {
    const [first] = chunk.trimStart();
    if (first !== undefined) return first === '[';
  }
  return false;
}

function parsed(text: string, place: string, hint: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${place}: not valid JSON: ${(error as Error).message}`, { hint, cause: error });
  }
}
