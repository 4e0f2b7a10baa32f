/** A server that speaks the protocol of the Hugging Face hub, as far as downloads need it, and can fail as networks do. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Files = Readonly<Record<string, string | Buffer>>;

export interface Repository {
  /** By branch or tag. */
  readonly revisions: Readonly<Record<string, Files>>;
  /** The token that may read its files; everyone may list them. */
  readonly gatedFor?: string;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly range?: string;
  readonly token?: string;
}

/** Files of at least so many bytes lie on another host, behind a redirect, as those in LFS do. */
const large = 1000;

const digest = (algorithm: string, ...parts: (string | Buffer)[]): string =>
  parts.reduce((hash, part) => hash.update(part), createHash(algorithm)).digest('hex');

export const sha256 = (content: string | Buffer): string => digest('sha256', content);

/** What git calls a content. */
export const gitSha1 = (content: string | Buffer): string =>
  digest('sha1', `blob ${Buffer.byteLength(content)}\0`, content);

/** The name of a content in the cache. */
export const checksumOf = (content: string | Buffer): string =>
  Buffer.byteLength(content) < large ? gitSha1(content) : sha256(content);

export const commitOf = (files: Files): string => digest('sha1', ...Object.entries(files).flat());

export class HubServer {
  readonly asked: Asked[] = [];
  /** Of large files: how many bytes of an answer come before the connection breaks, one number an answer. */
  readonly breaks = new Map<string, number[]>();
  /** Where an answer breaks, nothing comes any more, and the connection stays. */
  stalls = false;
  /** What is sent in place of what is listed. */
  readonly forged = new Map<string, Buffer>();
  /** Sizes that are listed and not true. */
  readonly sizes = new Map<string, number>();
  /** Fails each request so. */
  status: number | undefined;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  constructor(readonly repositories: Record<string, Repository>) {}

  async start(): Promise<string> {
    await new Promise<void>((ready) => this.#server.listen(0, '127.0.0.1', ready));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((stopped) => this.#server.close(() => stopped()));
  }

  /** Requests of contents since the last call. */
  contents(): Asked[] {
    return this.asked.splice(0).filter(({ path }) => path.includes('/resolve/') || path.startsWith('/cdn/'));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname: path, searchParams } = new URL(request.url!, this.url);
    const token = request.headers.authorization?.replace('Bearer ', '');
    this.asked.push({ method: request.method!, path, range: request.headers.range, token });
    if (this.status !== undefined) return refuse(response, this.status, 'Internal Error');
    const [, cdn] = /^\/cdn\/(\w{64})$/.exec(path) ?? [];
    if (cdn) return this.#content(request, response, cdn);
    const [, api, repository, kind, rest = ''] =
      /^\/(api\/models\/)?([\w.-]+\/[\w.-]+)\/(revision|tree|resolve)\/(.*)$/.exec(path) ?? [];
    const found = this.repositories[repository ?? ''];
    // The hub does not tell strangers which names there are.
    if (!found)
      return refuse(response, token ? 404 : 401, token ? 'Repository not found' : 'Invalid username or password.');
    const [revision, ...names] = rest.split('/').map(decodeURIComponent);
    const files = found.revisions[revision] ?? Object.values(found.revisions).find((one) => commitOf(one) === revision);
    if (!files) return refuse(response, 404, `Invalid rev id: ${revision}`);
    const commit = commitOf(files);
    response.setHeader('X-Repo-Commit', commit);
    if (api && kind === 'revision')
      return json(response, {
        _id: '1',
        id: repository,
        modelId: repository,
        sha: commit,
        lastModified: '2026-01-01T00:00:00.000Z',
        siblings: [],
        private: false,
      });
    if (api && kind === 'tree') return this.#list(response, files, path, Number(searchParams.get('cursor') ?? 0));
    if (found.gatedFor !== undefined && token !== found.gatedFor)
      return refuse(response, token ? 403 : 401, `Access to model ${repository} is restricted.`);
    this.#resolve(request, response, names.join('/'), files);
  }

  /** Two entries a page. */
  #list(response: ServerResponse, files: Files, path: string, from: number): void {
    const entries = Object.entries(files).map(([name, content]) => {
      const size = this.sizes.get(name) ?? Buffer.byteLength(content);
      const lfs = { oid: sha256(content), size, pointerSize: 134 };
      return Buffer.byteLength(content) < large
        ? { type: 'file', oid: gitSha1(content), size, path: name }
        : { type: 'file', oid: gitSha1('a pointer'), size, lfs, path: name };
    });
    if (from + 2 < entries.length)
      response.setHeader('Link', `<${this.url}${path}?recursive=true&cursor=${from + 2}>; rel="next"`);
    json(response, entries.slice(from, from + 2));
  }

  #resolve(request: IncomingMessage, response: ServerResponse, name: string, files: Files): void {
    const content = files[name];
    if (content === undefined) {
      response.setHeader('X-Error-Code', 'EntryNotFound');
      return refuse(response, 404, 'Entry not found');
    }
    if (Buffer.byteLength(content) < large) {
      response.setHeader('ETag', `"${gitSha1(content)}"`);
      return send(request, response, Buffer.from(content));
    }
    response.writeHead(302, {
      Location: `${this.url.replace('127.0.0.1', 'localhost')}/cdn/${sha256(content)}`,
      'X-Linked-Etag': `"${sha256(content)}"`,
      'X-Linked-Size': Buffer.byteLength(content),
    });
    response.end();
  }

  #content(request: IncomingMessage, response: ServerResponse, checksum: string): void {
    const all = Object.values(this.repositories).flatMap(({ revisions }) => Object.values(revisions));
    const entries = all.flatMap((files) => Object.entries(files));
    const [name, content] = entries.find(([, one]) => sha256(one) === checksum)!;
    response.setHeader('ETag', `"${checksum}"`);
    // The client asks for a first byte to learn of the size.
    const until = request.headers.range === 'bytes=0-0' ? undefined : this.breaks.get(name)?.shift();
    send(request, response, this.forged.get(name) ?? Buffer.from(content), until, this.stalls);
  }
}

function refuse(response: ServerResponse, status: number, error: string): void {
  response.statusCode = status;
  json(response, { error });
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(value));
}

/** A content, or the range of it that was asked for; of which `until` bytes come before the connection breaks, or stalls. */
function send(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  until?: number,
  stalls = false,
): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const [start, end] = [Number(from ?? 0), to ? Number(to) + 1 : content.length];
  const body = content.subarray(start, end);
  response.writeHead(from === undefined ? 200 : 206, {
    'Content-Length': body.length,
    'Content-Type': 'application/octet-stream',
    'Accept-Ranges': 'bytes',
    ...(from !== undefined && { 'Content-Range': `bytes ${start}-${start + body.length - 1}/${content.length}` }),
  });
  if (request.method === 'HEAD') response.end();
  else if (until === undefined) response.end(body);
  else response.write(body.subarray(0, until), () => stalls || setTimeout(() => response.destroy(), 20));
}
