import { UserError } from '../engine/index.js';

/**
 * The rows of comma-separated values (RFC 4180) as objects, by the names in the first row. Values are texts; in quotes
 * they may hold commas, line ends and doubled quotes. UserError for a row with another number of values than names, and
 * for quotes that do not end.
 */
export async function* csvRows(chunks: AsyncIterable<string>, path: string): AsyncGenerator<Record<string, string>> {
  let names: readonly string[] | undefined;
  let number = 0;
  for await (const values of csvValues(chunks, path)) {
    number++;
    if (!names) names = values;
    else if (values.length !== names.length)
      throw new UserError(`${path}, row ${number}: expected ${names.length} values, found ${values.length}`, {
        hint: `its columns are ${names.join(', ')}`,
      });
    else yield Object.fromEntries(names.map((name, i) => [name, values[i]]));
  }
}

async function* csvValues(chunks: AsyncIterable<string>, path: string): AsyncGenerator<string[]> {
  let values: string[] = [];
  let value = '';
  let quoted = false;
  /** The last character was a quote within quotes: the value ends there, unless another follows. */
  let closing = false;
  for await (const chunk of chunks)
    for (const char of chunk) {
      if (quoted && !closing && char !== '"') value += char;
      else if (quoted && char === '"') {
        if (closing) value += char;
        closing = !closing;
      } else if (char === '"' && value === '') quoted = true;
      else if (char === ',' || char === '\n') {
        values.push(value);
        [value, quoted, closing] = ['', false, false];
        if (char === ',') continue;
        if (values.length > 1 || values[0] !== '') yield values;
        values = [];
      } else value += char;
    }
  if (quoted && !closing) throw new UserError(`${path}: a quote does not end`, { hint: 'the file may be cut off' });
  if (value !== '' || quoted || values.length) yield [...values, value];
}
