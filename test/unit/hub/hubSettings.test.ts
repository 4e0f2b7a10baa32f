import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hubSettings } from '../../../src/hub/index.js';

describe('hubSettings', () => {
  const home = mkdtempSync(join(tmpdir(), 'llm-drop-hub-'));
  afterAll(() => rmSync(home, { recursive: true }));
  const HF_HOME = join(home, 'none');

  it('are those of huggingface_hub where nothing is said', async () => {
    const { endpoint, cache, offline, xet } = await hubSettings({ HF_TOKEN: 'hf_a' });
    expect({ endpoint, cache, offline, xet }).toEqual({
      endpoint: 'https://huggingface.co',
      cache: join(homedir(), '.cache/huggingface/hub'),
      offline: false,
      xet: true,
    });
  });

  it.each([
    [{ XDG_CACHE_HOME: '/x' }, '/x/huggingface/hub'],
    [{ XDG_CACHE_HOME: '/x', HF_HOME: '/y' }, '/y/hub'],
    [{ HF_HOME: '~/y' }, join(homedir(), 'y/hub')],
    [{ HF_HOME: '/y', HUGGINGFACE_HUB_CACHE: '/z' }, '/z'],
    [{ HUGGINGFACE_HUB_CACHE: '/z', HF_HUB_CACHE: '/c' }, '/c'],
  ])('%j: the cache is %s', async (env, cache) => expect(await hubSettings(env)).toMatchObject({ cache }));

  it('ask another hub, or none', async () => {
    const env = { HF_HOME, HF_ENDPOINT: 'http://mirror/', HF_HUB_OFFLINE: '0', TRANSFORMERS_OFFLINE: '1' };
    expect(await hubSettings(env)).toMatchObject({ endpoint: 'http://mirror', offline: false });
    expect(await hubSettings({ HF_HOME, TRANSFORMERS_OFFLINE: 'YES' })).toMatchObject({ offline: true });
  });

  it('take the token of a variable before that of a file', async () => {
    const file = join(home, 'token');
    writeFileSync(file, 'hf_file\n');
    const token = async (env: Record<string, string>) => {
      const { token: value, tokenFrom } = await hubSettings({ HF_HOME: home, ...env });
      return [value, tokenFrom];
    };
    expect(await token({})).toEqual(['hf_file', file]);
    expect(await token({ HUGGING_FACE_HUB_TOKEN: 'hf_old' })).toEqual(['hf_old', 'HUGGING_FACE_HUB_TOKEN']);
    expect(await token({ HUGGING_FACE_HUB_TOKEN: 'hf_old', HF_TOKEN: ' hf_new ' })).toEqual(['hf_new', 'HF_TOKEN']);
    expect(await token({ HF_TOKEN: '', HF_TOKEN_PATH: join(home, 'none') })).toEqual([undefined, undefined]);
    await expect(token({ HF_TOKEN: 'new' })).rejects.toThrow(/^HF_TOKEN holds no access token/);
  });
});
