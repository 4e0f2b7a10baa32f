import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileError, systemErrorCode } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/** Where the hub is, and how it is asked. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  /** The folder of huggingface_hub's cache. */
  readonly cache: string;
  readonly token?: string;
  /** Where the token is from, for messages: a variable, or a file. */
  readonly tokenFrom?: string;
  /** Nothing may be asked of the network. */
  readonly offline: boolean;
  /** Whether the protocol of the hub's own storage may be used, beside plain HTTP. */
  readonly xet: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says, under the names that Python's huggingface_hub reads. UserError for a token that is none. */
export async function hubSettings(env: Environment = process.env): Promise<HubSettings> {
  const home = folder(env.HF_HOME) ?? join(folder(env.XDG_CACHE_HOME) ?? join(homedir(), '.cache'), 'huggingface');
  const [tokenFrom, token] = await tokenOf(env, folder(env.HF_TOKEN_PATH) ?? join(home, 'token'));
  if (token !== undefined && !token.startsWith('hf_'))
    throw new UserError(`${tokenFrom} holds no access token of the hub: they begin with hf_`);
  return {
    endpoint: (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, ''),
    cache: folder(env.HF_HUB_CACHE) ?? folder(env.HUGGINGFACE_HUB_CACHE) ?? join(home, 'hub'),
    token,
    tokenFrom,
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
    xet: !isTrue(env.HF_HUB_DISABLE_XET),
  };
}

const isTrue = (value = ''): boolean => /^(1|on|yes|true)$/i.test(value);

/** A folder as a variable names it; undefined where it names none. */
const folder = (path: string | undefined): string | undefined =>
  path ? path.replace(/^~(?=\/|$)/, homedir()) : undefined;

async function tokenOf(env: Environment, file: string): Promise<[from?: string, token?: string]> {
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const token = env[name]?.trim();
    if (token) return [name, token];
  }
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw fileError(error, 'cannot read', file);
  });
  return text.trim() ? [file, text.trim()] : [];
}
