/** Clients as servers meet them: most read what they asked for, some leave, some are slow, some ask for nonsense. */
import { setTimeout as sleep } from 'node:timers/promises';
import { uniform } from '../../src/models/random.js';

export interface LoadOptions {
  /** Of the server, without /v1. */
  readonly url: string;
  readonly clients: number;
  readonly seconds: number;
  /** @defaultValue 0 */
  readonly seed?: number;
}

export interface LoadReport {
  readonly seconds: number;
  /** How many requests there were of each kind. */
  readonly requests: Readonly<Record<Kind, number>>;
  /** Valid requests that were not answered well, and nonsense that was not refused: empty where all is right. */
  readonly failures: readonly string[];
  readonly tokensPerSecond: number;
  /** Seconds; of clients that read at once. */
  readonly firstToken: Percentiles;
  readonly betweenTokens: Percentiles;
  /** Bytes of the server's resident memory, every second. */
  readonly memory: readonly number[];
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

type Kind = 'read' | 'scored' | 'left' | 'slow' | 'nonsense';

/** How often a client does what: cumulative shares. */
const shares: readonly (readonly [Kind, number])[] = [
  ['read', 0.55],
  ['scored', 0.7],
  ['left', 0.85],
  ['slow', 0.92],
  ['nonsense', 1],
];

const beginnings = [
  'Once upon a time',
  'Once upon a time there was a little dog',
  'Lily and Tom went to the park.',
  'The',
];

/** What no server takes. */
const nonsense: readonly (string | object)[] = [
  '{"prompt": "Once',
  '[]',
  { prompt: '' },
  { prompt: [10 ** 9] },
  { prompt: 'a', temperature: 'hot' },
  { prompt: 'a', n: 10 ** 6 },
  { prompt: Array.from({ length: 5000 }, () => 1) },
  { promt: 'a' },
  { prompt: 'a', model: 'another' },
];

/** Lets clients ask until the time is over, and each its last request end. */
export async function runLoad({ url, clients, seconds, seed = 0 }: LoadOptions): Promise<LoadReport> {
  const begun = performance.now();
  const until = begun + 1000 * seconds;
  const requests: Record<Kind, number> = { read: 0, scored: 0, left: 0, slow: 0, nonsense: 0 };
  const failures: string[] = [];
  const [first, between]: number[][] = [[], []];
  let tokens = 0;
  const client = async (index: number): Promise<void> => {
    const random = uniform(seed * 1000 + index);
    while (performance.now() < until) {
      const draw = random();
      const [kind] = shares.find(([, share]) => draw < share)!;
      requests[kind]++;
      try {
        if (kind === 'nonsense') await refused(url, nonsense[Math.floor(random() * nonsense.length)]);
        else if (kind === 'scored') await scored(url, random);
        else {
          const read = await streamed(url, kind, random);
          tokens += read.times.length;
          if (kind !== 'read') continue;
          read.times.forEach((time, i) => (i === 0 ? first.push(time) : between.push(time - read.times[i - 1])));
        }
      } catch (error) {
        failures.push(`${kind}: ${(error as Error).message}`);
      }
    }
  };
  const memory: number[] = [];
  const watch = async (): Promise<void> => {
    while (performance.now() < until) {
      const text = await (await fetch(`${url}/metrics`)).text();
      memory.push(Number(/^process_resident_memory_bytes (\d+)/m.exec(text)![1]));
      await sleep(1000);
    }
  };
  await Promise.all([watch(), ...Array.from({ length: clients }, (_, i) => client(i))]);
  const took = (performance.now() - begun) / 1000;
  return {
    ...{ seconds: took, requests, failures, tokensPerSecond: tokens / took, memory },
    ...{ firstToken: percentiles(first), betweenTokens: percentiles(between) },
  };
}

/**
 * The most memory in the last half of the time over the most in the half before, the first tenth left out: above 1 where it
 * is still growing. Peaks, since a garbage collector gives memory back when it likes.
 */
export function memoryGrowth(memory: readonly number[]): number {
  const middle = Math.floor(memory.length / 2);
  return Math.max(...memory.slice(middle)) / Math.max(...memory.slice(Math.floor(memory.length / 10), middle));
}

const post = (url: string, body: string | object, signal?: AbortSignal): Promise<Response> =>
  fetch(`${url}/v1/completions`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' }, signal },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

async function refused(url: string, body: string | object): Promise<void> {
  const response = await post(url, body);
  const { error } = (await response.json()) as { error?: { message?: unknown } };
  if (response.status < 400 || response.status >= 500 || typeof error?.message !== 'string')
    throw new Error(`${JSON.stringify(body).slice(0, 60)} got status ${response.status}`);
}

/** As lm-eval asks. */
async function scored(url: string, random: () => number): Promise<void> {
  const prompt = Array.from({ length: 1 + Math.floor(4 * random()) }, () =>
    Array.from({ length: 2 + Math.floor(40 * random()) }, (_, i) => 1 + ((i * 7) % 900) + Math.floor(2 * random())),
  );
  const response = await post(url, { prompt, max_tokens: 1, logprobs: 1, echo: true, temperature: 0 });
  if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
  const { choices } = (await response.json()) as { choices: { logprobs: { token_logprobs: unknown[] } }[] };
  choices.forEach(({ logprobs }, i) => {
    if (logprobs.token_logprobs.length !== prompt[i].length + 1) throw new Error('a list of another length');
  });
}

/** A stream; the seconds at which its tokens came. */
async function streamed(url: string, kind: Kind, random: () => number): Promise<{ times: readonly number[] }> {
  const times: number[] = [];
  const left = new AbortController();
  const leavesAfter = kind === 'left' ? Math.floor(20 * random()) : Infinity;
  const prompt = beginnings[Math.floor(beginnings.length * random())].repeat(1 + Math.floor(6 * random()));
  const begun = performance.now();
  try {
    if (leavesAfter === 0) setTimeout(() => left.abort(), 100 * random());
    const body = { prompt, max_tokens: 1 + Math.floor(64 * random()), stream: true, ignore_eos: true };
    const response = await post(url, body, left.signal);
    if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
    let rest = '';
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      const events = (rest + piece).split('\n\n');
      rest = events.pop()!;
      for (const event of events) {
        if (event.includes('"error"')) throw new Error(event);
        if (event === 'data: [DONE]') return { times };
        times.push((performance.now() - begun) / 1000);
      }
      if (times.length >= leavesAfter) left.abort();
      if (kind === 'slow') await sleep(300 * random());
    }
    throw new Error('the stream ended without [DONE]');
  } catch (error) {
    if (left.signal.aborted) return { times };
    throw error;
  }
}

function percentiles(values: number[]): Percentiles {
  const sorted = values.sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
