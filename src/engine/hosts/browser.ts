/**
 * A browser, as the host of the engine. Threads need memory that they share, which pages have that are cross-origin
 * isolated; elsewhere one thread computes. The engine belongs into a worker of the page: it waits for its threads, which
 * a page's own thread may not.
 */
import type { Context, Host, Worker } from '../host.js';

/** What is asked of the browser; its own types are not those of Node, for which the rest is compiled. */
interface Browser {
  readonly crossOriginIsolated?: boolean;
  readonly navigator: {
    readonly hardwareConcurrency: number;
    readonly deviceMemory?: number;
    readonly userAgent: string;
  };
  readonly Worker: new (url: string) => Thread;
  readonly Blob: new (parts: readonly string[], type: { readonly type: string }) => object;
  readonly URL: { createObjectURL(blob: object): string; revokeObjectURL(url: string): void };
}

interface Thread {
  postMessage(message: unknown): void;
  terminate(): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'error', listener: (event: { readonly message?: string }) => void): void;
}

const browser = globalThis as unknown as Browser;

/** A browser that does not tell its memory, or tells that it has more than it tells of, has so many GiB. */
const usualMemory = 8;

/** Of Chromium 140, V8 has the version 14.0. Undefined where the browser has another engine. */
const chromium = /Chrom(?:e|ium)\/(\d+)/.exec(browser.navigator?.userAgent)?.[1];

export const host: Host = {
  cores: () => (browser.crossOriginIsolated ? browser.navigator.hardwareConcurrency : 1),
  memoryBytes: () => (browser.navigator.deviceMemory ?? usualMemory) * 2 ** 30,
  addressSpace: () => undefined,
  processor: { architecture: 'unknown', flags: () => new Set(), secondLevelCacheBytes: () => undefined },
  v8: chromium === undefined ? undefined : { version: Number(chromium) / 10, setFlags: () => undefined },
  setting: () => undefined,
  // oxlint-disable-next-line no-console -- where a page's developer looks
  warn: (line) => console.warn(line),
  nextTurn,
  createContext,
  spawn,
  runWithin: (_milliseconds, run) => {
    run();
    return 'ended';
  },
  isInstalled: () => false,
  installedVersion: () => undefined,
  prepareTensorFlow: () => undefined,
};

const turns = new MessageChannel();
const waiting: (() => void)[] = [];
turns.port1.addEventListener('message', () => waiting.shift()?.());
turns.port1.start();

/** By a message to itself: a timer would wait four milliseconds. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    turns.port2.postMessage(undefined);
  });
}

/**
 * Browsers cannot tell what code awaits from other code that runs meanwhile, so that both see the value: whoever calls the
 * engine awaits one pass before it starts the next.
 */
function createContext<T>(): Context<T> {
  let current: T | undefined;
  return {
    get: () => current,
    run: (value, work) => {
      const before = current;
      const restore = (): void => void (current = before);
      current = value;
      let result: ReturnType<typeof work>;
      try {
        result = work();
      } catch (error) {
        restore();
        throw error;
      }
      if (result instanceof Promise) result.then(restore, restore);
      else restore();
      return result;
    },
  };
}

function spawn(code: string, data: object, failed: (error: unknown) => void): Worker {
  const url = browser.URL.createObjectURL(new browser.Blob([within(code)], { type: 'text/javascript' }));
  const thread = new browser.Worker(url);
  const messages: unknown[] = [];
  thread.addEventListener('message', ({ data: message }) => {
    // The first says that the thread has begun, and needs its text no more.
    if (message === begun) browser.URL.revokeObjectURL(url);
    else messages.push(message);
  });
  thread.addEventListener('error', ({ message = 'a worker could not be started' }) => failed(new Error(message)));
  thread.postMessage(data);
  return {
    send: (message) => thread.postMessage(message),
    receive: () => messages.shift(),
    terminate: () => thread.terminate(),
  };
}

const begun = 'begun';

/** A worker's source: `code`, called with its side of the thread when its data have come. */
const within = (code: string): string => `
const messages = [];
const waiting = [];
onmessage = ({ data }) => {
  onmessage = ({ data: message }) => (waiting.length ? waiting.shift()(message) : messages.push(message));
  postMessage('${begun}');
  (${code})({
    data,
    receive: () => messages.length ? messages.shift() : new Promise((resolve) => waiting.push(resolve)),
    send: (message) => postMessage(message),
  });
};`;
