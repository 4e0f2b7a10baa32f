import { CsvError, parse } from 'csv-parse';
import { pipeline } from 'node:stream';
import { UserError } from '../engine/index.js';

/**
 * The rows of comma-separated values (RFC 4180) as objects of texts, by the names in the first row. UserError for a row
 * with another number of values than names, and for quotes that do not end.
 */
export async function* csvRows(chunks: AsyncIterable<string>, path: string): AsyncGenerator<Record<string, string>> {
  try {
    const parser = parse({ columns: true, bom: true, skip_empty_lines: true });
    // What fails on the way destroys the parser, and is thrown where its rows are read.
    const rows = pipeline(chunks, parser, () => undefined);
    for await (const row of rows) yield row as Record<string, string>;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UserError(`${path} is not a file of comma-separated values: ${error.message}`, { cause: error });
  }
}
