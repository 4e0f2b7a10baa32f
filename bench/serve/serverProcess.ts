import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The built program as a server in a process of its own. */
export interface ServerProcess extends AsyncDisposable {
  /** Without /v1. */
  readonly url: string;
}

/** Starts `serve` on a free port, with these arguments. */
export async function startServer(...argv: readonly string[]): Promise<ServerProcess> {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const child = spawn(process.execPath, [main, 'serve', ...argv, '--port', '0', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  for await (const piece of child.stdout) {
    told += String(piece);
    if (told.trimEnd().endsWith('\n}')) break;
  }
  if (!told) throw new Error('the server did not begin');
  return {
    url: (JSON.parse(told) as { url: string }).url,
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const [code] = (await ended) as [number | null];
      if (code !== 0) throw new Error(`the server ended with code ${code}`);
    },
  };
}
