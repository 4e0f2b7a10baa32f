import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { servePlayground, type Playground } from '../../../src/play/index.js';

describe('the playground of a GGUF file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-play-'));
  let playground: Playground;
  beforeAll(async () => {
    writeFileSync(join(folder, 'a model.gguf'), 'GGUF and more');
    writeFileSync(join(folder, 'secret.txt'), 'not for the page');
    playground = await servePlayground(join(folder, 'a model.gguf'), { port: 0 });
  });
  afterAll(() => playground[Symbol.asyncDispose]());
  const get = (path: string, headers = {}): Promise<Response> => fetch(`${playground.url}${path}`, { headers });

  it('tells where the file is, and serves parts of it', async () => {
    const { path } = (await (await get('/model.json')).json()) as { path: string };
    expect(path).toBe('model/a%20model.gguf');
    const part = await get(`/${path}`, { range: 'bytes=5-7' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe('bytes 5-7/13');
    expect(await part.text()).toBe('and');
  });

  it('serves nothing that lies beside it', async () => {
    for (const path of ['/model/secret.txt', '/model/x/secret.txt', '/model/..%2fsecret.txt', '/secret.txt'])
      expect((await get(path)).status, path).toBe(404);
  });

  it('lets threads share memory', async () => {
    const { headers } = await get('/model.json');
    expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp');
  });

  it('is refused where the address is taken', async () => {
    const port = Number(new URL(playground.url).port);
    await expect(servePlayground(join(folder, 'a model.gguf'), { port })).rejects.toThrow(
      /^cannot listen on 127.0.0.1/,
    );
  });
});

describe('the playground of a folder', () => {
  it('serves the files in it, and nothing above', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'llm-drop-play-'));
    writeFileSync(join(folder, 'config.json'), '{}');
    await using playground = await servePlayground(folder, { port: 0 });
    const { path } = (await (await fetch(`${playground.url}/model.json`)).json()) as { path: string };
    expect(await (await fetch(`${playground.url}/${path}/config.json`)).text()).toBe('{}');
    expect((await fetch(`${playground.url}/${path}/..%2f..%2fetc%2fpasswd`)).status).toBe(404);
    expect((await fetch(`${playground.url}/${path}/..`)).status).toBe(404);
  });
});
