/** A notice that a newer Node is faster: shown once a machine, on terminals only. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The fastest version of Node: its V8 pairs WebAssembly vectors to 256 bits, and has the byte products and fused
 * multiply-adds that Node 24 brought.
 */
export const fastestNode = 26;
/** The environment variable that, set to anything, keeps the notice away. */
const silence = 'LLM_DROP_NO_NOTICE';

/** Tokens a second on Node 26 over those on Node 20, rounded down: medians of bench/RESULTS.md's 135m, two threads. */
const measured = { processor: 'AMD EPYC (Zen 3)', decodeInt4: 1.1, prefillInt4: 1.6, prefillFloat32: 1.9 };

export interface NodeHere {
  /** @defaultValue this process's */
  readonly version?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly platform?: NodeJS.Platform;
}

/** The notice, or undefined where Node is as fast as can be, or where it was said before on this machine. */
export function newerNodeNotice({
  version = process.versions.node,
  env = process.env,
  platform = process.platform,
}: NodeHere = {}): string | undefined {
  if (Number.parseInt(version, 10) >= fastestNode || env[silence] || !isFirstTime(cacheFolder(env, platform)))
    return undefined;
  const { processor, decodeInt4, prefillInt4, prefillFloat32 } = measured;
  return (
    `Node ${fastestNode} computes faster than the Node ${version} here: on an ${processor} it was, beside Node 20, ` +
    `${decodeInt4} times as fast in decoding with int4 weights, ${prefillInt4} times in prefill with these, and ` +
    `${prefillFloat32} times in prefill with float32 (said once; ${silence}=1 silences it)`
  );
}

/** A file remembers it. Where none can be written it is said again. */
function isFirstTime(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'newer-node-said'), '', { flag: 'wx' });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EEXIST';
  }
}

/** This program's cache folder, where the operating system keeps caches. */
export function cacheFolder(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): string {
  const home = env.HOME ?? homedir();
  const ofSystem = {
    darwin: join(home, 'Library', 'Caches'),
    win32: env.LOCALAPPDATA ?? join(home, 'AppData', 'Local'),
  }[platform as string];
  return join(env.XDG_CACHE_HOME || (ofSystem ?? join(home, '.cache')), 'llm-drop');
}
