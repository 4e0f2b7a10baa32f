/** The file system that bundles for browsers get, as far as it works in Node too; test/browser has it in a page. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileSystem } from '../../../src/checkpoint/files/browser.js';
import { holdFiles } from '../../../src/checkpoint/files/heldFiles.js';
import { node } from '../../../src/checkpoint/files/node.js';

describe('paths', () => {
  it.each(['a/b/model.gguf', 'a/b', 'a', '.hidden', 'a/.hidden', 'a.b/c', 'm.tar.gz', 'a/'])(
    '%s is taken apart as in Node',
    (path) => {
      expect(fileSystem.extname(path)).toBe(node.extname(path));
      if (!path.endsWith('/')) expect(fileSystem.basename(path)).toBe(node.basename(path));
      expect(fileSystem.basename('a/b.jinja', '.jinja')).toBe('b');
      expect(fileSystem.join('https://example.org/models/', 'config.json')).toBe(
        'https://example.org/models/config.json',
      );
    },
  );
});

describe('files that a page was given', () => {
  beforeAll(() =>
    holdFiles(
      'tiny',
      new Map([
        ['config.json', new Blob(['{"a": 1}'])],
        ['templates/chat.jinja', new Blob(['hello'])],
      ]),
    ),
  );

  it('are listed, and read by position', async () => {
    expect(await fileSystem.readdir('tiny')).toEqual(['config.json', 'templates']);
    expect(await fileSystem.readdir('tiny/templates')).toEqual(['chat.jinja']);
    const file = await fileSystem.open('tiny/templates/chat.jinja');
    expect((await file.stat()).size).toBe(5);
    const into = new Uint8Array(4);
    expect((await file.read(into, 1, 3, 2)).bytesRead).toBe(3);
    expect([...into]).toEqual([0, ...Buffer.from('llo')]);
    expect((await file.read(into, 0, 4, 5)).bytesRead).toBe(0);
  });

  it('fail as in Node', async () => {
    await expect(fileSystem.open('tiny/none')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
    await expect(fileSystem.stat('other')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(fileSystem.open('tiny/templates')).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(fileSystem.readdir('tiny/config.json')).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(fileSystem.writeFile('tiny/x', '')).rejects.toThrow('no files are written in a browser');
  });
});

describe('files of a server', () => {
  const bytes = readFileSync(new URL(import.meta.url));
  let server: Server;
  let origin: string;
  const asked: (string | undefined)[] = [];
  beforeAll(async () => {
    server = createServer(({ url, headers: { range } }, response) => {
      asked.push(range);
      if (url === '/broken.json') return response.writeHead(500).end();
      if (url === '/empty.txt') return response.writeHead(416, { 'content-range': 'bytes */0' }).end();
      if (url !== '/m/config.json') return response.writeHead(404).end();
      const [from, to] = /(\d+)-(\d+)/.exec(range!)!.slice(1).map(Number);
      const end = Math.min(to, bytes.length - 1);
      response
        .writeHead(206, { 'content-range': `bytes ${from}-${end}/${bytes.length}` })
        .end(bytes.subarray(from, end + 1));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  it('are read by ranges, no more than is asked for', async () => {
    const file = await fileSystem.open(`${origin}/m/config.json`);
    const into = new Uint8Array(100);
    await file.read(into, 0, 100, 50);
    expect(Buffer.from(into)).toEqual(bytes.subarray(50, 150));
    expect(asked).toEqual(['bytes=0-0', 'bytes=50-149']);
  });

  it('are a folder where a config is', async () => {
    expect((await fileSystem.stat(`${origin}/m`)).isDirectory()).toBe(true);
    await expect(fileSystem.stat(`${origin}/n`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('may be empty', async () => {
    expect(await (await fileSystem.open(`${origin}/empty.txt`)).stat()).toEqual({ size: 0 });
  });

  it('are refused in a sentence where the server fails', async () => {
    await expect(fileSystem.open(`${origin}/broken.json`)).rejects.toThrow(
      /^cannot read .*broken.json: the server answers 500/,
    );
  });
});
