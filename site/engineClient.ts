/** The page's side of the worker. */
import type { Answer, Asked, CallName, Request, Response, Told } from './protocol.js';

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
  readonly onTold?: (told: Told) => void;
}

export class EngineClient {
  readonly #worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
  readonly #waiting = new Map<number, Waiting>();
  #id = 0;

  constructor() {
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Response>) => this.#receive(data));
    this.#worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(message || 'the worker could not be started'));
      this.#waiting.clear();
    });
  }

  /** Undefined where a later call stopped this one. */
  call<N extends CallName>(name: N, options: Asked<N>, onTold?: (told: Told) => void): Promise<Answer<N> | undefined> {
    const id = this.#id++;
    const request: Request<N> = { id, name, options };
    this.#worker.postMessage(request);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, onTold }));
  }

  #receive(response: Response): void {
    const waiting = this.#waiting.get(response.id);
    if (!waiting) return;
    if ('told' in response) return waiting.onTold?.(response.told);
    this.#waiting.delete(response.id);
    if ('error' in response) waiting.reject(new Error(response.error));
    else waiting.resolve(('answer' in response ? response.answer : undefined) as never);
  }
}
