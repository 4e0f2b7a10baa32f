import { UserError } from '../../engine/index.js';
import { indexFile, singleFile } from '../weightNames.js';
import { bytesOfBlob, type Bytes, type Place } from './place.js';

/** Files by their URLs, read by ranges where the server has them, else at once. A path without an ending is a folder's. */
export const webFiles: Place = {
  find: async (url) => {
    if (/\.\w+$/.test(new URL(url).pathname)) return fileAt(url);
    return (await fileAt(`${url}/config.json`)) && 'folder';
  },
  // Web servers list no folder, so they are asked for what holds a model's weights.
  list: async (folder) => {
    const askedFor = [singleFile, indexFile];
    const found = await Promise.all(askedFor.map((name) => fileAt(`${folder}/${name}`)));
    return askedFor.filter((_, i) => found[i]);
  },
};

async function fileAt(url: string): Promise<Bytes | undefined> {
  const first = await request(url, 'bytes=0-0');
  if (first.status === 404 || first.status === 403) return undefined;
  const [, size] = /\/(\d+)$/.exec(first.headers.get('content-range') ?? '') ?? [];
  if (first.status !== 206 || size === undefined) return bytesOfBlob(await first.blob());
  const read = async (start: number, end: number): Promise<Uint8Array> => {
    const part = await request(url, `bytes=${start}-${end - 1}`);
    const bytes = new Uint8Array(await part.arrayBuffer());
    return part.status === 206 ? bytes : bytes.subarray(start, end);
  };
  return { size: Number(size), read };
}

async function request(url: string, range: string): Promise<Response> {
  const response = await fetch(url, { headers: { range } }).catch((error: unknown) => {
    throw new UserError(`cannot read ${url}: the server cannot be reached, or does not let this page read from it`, {
      cause: error,
    });
  });
  if (response.ok || [403, 404].includes(response.status)) return response;
  // An empty file has no first byte.
  if (response.status === 416) return new Response();
  throw new UserError(`cannot read ${url}: the server answers ${response.status} ${response.statusText}`.trim());
}
