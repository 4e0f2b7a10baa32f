import { Decompress } from 'fzstd';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

const compressions = ['gz', 'zst'] as const;
export type Compression = (typeof compressions)[number];

/** What the name of a file says of it: `text.JSONL.gz` is `jsonl`, in `gz`. */
export function formOf(path: string): { readonly ending: string; readonly compression?: Compression } {
  const endings = basename(path).toLowerCase().split('.').slice(1);
  const compression = compressions.find((name) => name === endings.at(-1));
  if (compression) endings.pop();
  return { ending: endings.at(-1) ?? '', compression };
}

/**
 * A file's text as Python's text mode reads it: UTF-8, decompressed, without a byte order mark, line ends `\n`. UserError
 * that names the file where it is not UTF-8, or not whole.
 */
export function readText(path: string): AsyncGenerator<string> {
  return unixLineEnds(decoded(readBytes(path), path));
}

/** A file's bytes, decompressed by its ending. */
export async function* readBytes(path: string): AsyncGenerator<Uint8Array> {
  const { compression } = formOf(path);
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  try {
    if (compression === 'gz') yield* pipeline(file, createGunzip(), () => undefined) as AsyncIterable<Buffer>;
    else if (compression === 'zst') yield* unzstd(file as AsyncIterable<Buffer>);
    else yield* file as AsyncIterable<Buffer>;
  } catch (error) {
    const known = fileError(error, 'cannot read', path);
    if (known !== error || compression === undefined) throw known;
    const named = compression === 'gz' ? 'gzip' : 'zstd';
    throw new UserError(`${path} is not a whole ${named} file: ${(error as Error).message}`, { cause: error });
  }
}

async function* unzstd(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let out: Uint8Array[] = [];
  const stream = new Decompress((chunk) => out.push(chunk.slice()));
  for await (const chunk of chunks) {
    stream.push(chunk);
    yield* out;
    out = [];
  }
  stream.push(new Uint8Array(0), true);
  yield* out;
}

async function* decoded(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let first: Uint8Array | undefined;
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      throw new UserError(`${path} is not UTF-8 text, ${looksLike(first)}`, { cause: error });
    }
  };
  for await (const chunk of chunks) {
    first ??= chunk.slice(0, 64);
    yield decode(chunk);
  }
  yield decode();
}

/** What bytes that are no UTF-8 are likely to be. */
function looksLike(bytes: Uint8Array = new Uint8Array()): string {
  const begins = (...mark: number[]): boolean => mark.every((byte, i) => bytes[i] === byte);
  if (begins(0xff, 0xfe) || begins(0xfe, 0xff)) return 'but UTF-16: convert it with iconv -f UTF-16 -t UTF-8';
  if (begins(0x1f, 0x8b)) return 'but a gzip file: its name must end in .gz';
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return 'but a zstd file: its name must end in .zst';
  return 'but perhaps Latin-1 or Windows-1252: convert it with iconv -f WINDOWS-1252 -t UTF-8';
}

async function* unixLineEnds(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let held = '';
  for await (const chunk of chunks) {
    const text = held + chunk;
    held = text.endsWith('\r') ? '\r' : '';
    yield text.slice(0, text.length - held.length).replaceAll(/\r\n?/g, '\n');
  }
  if (held) yield '\n';
}
