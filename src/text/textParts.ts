import { UserError } from '../engine/index.js';

/** A document may have this many UTF-16 units; V8's longest string has about twice as many. */
export const longestDocument = 1 << 28;

/** The parts of a text between separators, the last one included even when it is empty. UserError for an endless one. */
export async function* splitText(
  chunks: AsyncIterable<string>,
  separator: string,
  path: string,
): AsyncGenerator<string> {
  const keep = separator.length - 1;
  /** The part so far; only `tail` can still hold the beginning of a separator. */
  let parts: string[] = [];
  let size = 0;
  let tail = '';
  for await (const chunk of chunks) {
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
    checkLength(size, path);
  }
  yield parts.join('') + tail;
}

/**
 * The elements of a JSON array, each as text. UserError where brackets do not close, or something follows; whether an
 * element is JSON is for the caller to see.
 */
export async function* arrayElements(chunks: AsyncIterable<string>, path: string): AsyncGenerator<string> {
  /** Of brackets that are open: 0 before the array and behind it. */
  let depth = 0;
  let [inString, escaped, ended] = [false, false, false];
  let parts: string[] = [];
  let [size, count] = [0, 0];
  const fail = (problem: string): never => {
    throw new UserError(`${path}, record ${count + 1}: ${problem}`, { hint: 'a .json file holds an array of records' });
  };
  for await (const chunk of chunks) {
    let begin = 0;
    for (let i = 0; i < chunk.length; i++) {
      const char = chunk[i];
      if (inString) {
        if (escaped) escaped = false;
        else if (char === '\\') escaped = true;
        else if (char === '"') inString = false;
        continue;
      }
      if (depth === 0) {
        if (/\s/.test(char)) continue;
        if (ended || char !== '[') fail(`expected ${ended ? 'nothing' : 'an array'}, found ${char}`);
        depth = 1;
        begin = i + 1;
      } else if (char === '"') inString = true;
      else if (char === '[' || char === '{') depth++;
      else if (depth === 1 && (char === ',' || char === ']')) {
        parts.push(chunk.slice(begin, i));
        const element = parts.join('').trim();
        if (element) yield element;
        else if (char === ',' || count > 0) fail('there is no value');
        [parts, size, begin] = [[], 0, i + 1];
        count++;
        if (char === ']') [depth, ended] = [0, true];
      } else if (char === ']' || char === '}') depth--;
    }
    if (depth === 0) continue;
    parts.push(chunk.slice(begin));
    size += chunk.length - begin;
    checkLength(size, path);
  }
  if (!ended) fail('the file ends before its array does');
}

function checkLength(size: number, path: string): void {
  if (size > longestDocument)
    throw new UserError(`${path} holds a document of more than ${longestDocument} characters`, {
      hint: 'part documents by <|endoftext|> in a .txt file, by lines in a .jsonl file',
    });
}

/** Without the white space around it, as Python's `str.strip` knows it. */
export function stripped(text: string): string {
  let begin = 0;
  while (begin < text.length && isSpace(text[begin])) begin++;
  return strippedEnd(text.slice(begin));
}

/** Without the white space at its end, as Python's `str.rstrip` knows it. */
export function strippedEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1])) end--;
  return text.slice(0, end);
}

/** JavaScript counts a byte order mark among them, Python the separators of ASCII (28 to 31) and the next line. */
const isSpace = (char: string): boolean =>
  (/[\s\x85]/.test(char) && char !== '\ufeff') || (char >= '\x1c' && char <= '\x1f');
