/** The worker in which the engine lives. Calls run one after the other; a new one stops the run before it. */
import type { Request, Response } from './protocol.js';
import { session } from './session.js';

const answer = (response: Response): void => postMessage(response);

let last: Promise<void> = Promise.resolve();
let stopping = new AbortController();

addEventListener('message', ({ data }: MessageEvent<Request>) => {
  stopping.abort();
  const { signal } = (stopping = new AbortController());
  const before = last;
  last = before.then(() => serve(data, signal));
});

async function serve({ id, name, options }: Request, signal: AbortSignal): Promise<void> {
  if (signal.aborted && name === 'run') return answer({ id, stopped: true });
  try {
    const call = session[name] as (options: unknown, run: object) => Promise<unknown>;
    answer({ id, answer: await call(options, { signal, tell: (told: object) => answer({ id, told } as Response) }) });
  } catch (error) {
    if (signal.aborted && error === signal.reason) answer({ id, stopped: true });
    else answer({ id, error: error instanceof Error ? error.message : String(error) });
  }
}
