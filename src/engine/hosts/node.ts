import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { availableParallelism, totalmem } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import util from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { Script, createContext as createRealm } from 'node:vm';
import { MessageChannel, Worker as Thread, receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import type { AddressSpace, Context, Host, Worker } from '../host.js';

const require = createRequire(import.meta.url);

export const node: Host = {
  cores: availableParallelism,
  memoryBytes: () => {
    const contained = process.constrainedMemory?.() ?? 0;
    return Math.min(contained || Infinity, totalmem(), addressesAtStart / 2);
  },
  addressSpace,
  processor: {
    architecture: process.arch,
    flags: () => flagsIn(textOf('/proc/cpuinfo')),
    secondLevelCacheBytes: () => bytesIn(textOf('/sys/devices/system/cpu/cpu0/cache/index2/size')),
  },
  v8: { version: Number.parseFloat(process.versions.v8), setFlags: setFlagsFromString },
  setting: (name) => process.env[name],
  warn: (line) => void process.stderr.write(`${line}\n`),
  nextTurn: () => setImmediate(),
  createContext,
  runWithin,
  spawn,
  isInstalled: (name) => {
    try {
      require.resolve(name);
      return true;
    } catch {
      return false;
    }
  },
  installedVersion,
  prepareTensorFlow: (threads) => {
    // tfjs-node 4.22 still calls these: Node 23 took the first away, and warns of the second.
    const isNullOrUndefined = (value: unknown): boolean => value === null || value === undefined;
    Object.assign(util, { isNullOrUndefined, isArray: Array.isArray });
    process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
    if (threads !== undefined) process.env.TF_NUM_INTRAOP_THREADS = String(threads);
  },
};

function addressSpace(): AddressSpace | undefined {
  return addressSpaceIn(textOf('/proc/self/limits'), textOf('/proc/self/status'));
}

/** What was free when the program began, before anything was reserved. */
const atStart = addressSpace();
const addressesAtStart = atStart ? atStart.limit - atStart.taken : Infinity;

/** The text of a system file; empty if there is none. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** The flags in Linux's `/proc/cpuinfo`. */
export const flagsIn = (text: string): ReadonlySet<string> =>
  new Set(/^flags\s*:(.*)$/m.exec(text)?.[1].trim().split(/\s+/));

/** As Linux's `/proc/self/limits` and `/proc/self/status` tell it. */
export function addressSpaceIn(limits: string, status: string): AddressSpace | undefined {
  const limit = /^Max address space\s+(\d+)/m.exec(limits)?.[1];
  const taken = /^VmSize:\s*(\d+) kB/m.exec(status)?.[1];
  return limit && taken ? { limit: Number(limit), taken: 1024 * Number(taken) } : undefined;
}

/** The size of a cache as Linux writes it, e.g. '1024K'. */
export function bytesIn(text: string): number | undefined {
  const kibibytes = /^(\d+)K/.exec(text)?.[1];
  return kibibytes ? 1024 * Number(kibibytes) : undefined;
}

/** Of the first package.json of that name above the package's entry: not all packages export theirs. */
function installedVersion(name: string): string | undefined {
  let folder: string;
  try {
    folder = dirname(require.resolve(name));
  } catch {
    return undefined;
  }
  for (; dirname(folder) !== folder; folder = dirname(folder)) {
    const text = textOf(join(folder, 'package.json'));
    const found = text === '' ? {} : (JSON.parse(text) as { name?: string; version?: string });
    if (found.name === name) return found.version;
  }
  return undefined;
}

function createContext<T>(): Context<T> {
  const storage = new AsyncLocalStorage<T>();
  return { get: () => storage.getStore(), run: (value, work) => storage.run(value, work) };
}

const script = new Script('run()');
/** Holds what the script calls; making one takes longer than most calls. */
const realm = createRealm({}) as { run?: () => void };

function runWithin(milliseconds: number, run: () => void): 'ended' | 'late' | 'interrupted' {
  realm.run = run;
  try {
    script.runInContext(realm, { timeout: milliseconds, breakOnSigint: true });
    return 'ended';
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return 'late';
    process.kill(process.pid, 'SIGINT');
    return 'interrupted';
  } finally {
    realm.run = undefined;
  }
}

function spawn(code: string, data: object, failed: (error: unknown) => void): Worker {
  const { port1, port2 } = new MessageChannel();
  const worker = new Thread(within(code), {
    eval: true,
    workerData: { port: port2, data },
    transferList: [port2],
    // Without the process's flags: a TypeScript loader, say, would only cost time.
    execArgv: [],
  });
  worker.on('error', failed);
  worker.unref();
  port1.unref();
  return {
    send: (message) => port1.postMessage(message),
    receive: () => received(port1),
    terminate: () => {
      port1.close();
      void worker.terminate();
    },
  };
}

const received = (port: MessagePort): unknown =>
  (receiveMessageOnPort(port) as { readonly message: unknown } | undefined)?.message;

/** A worker's source: `code`, called with its side of the thread. */
const within = (code: string): string => `
const { receiveMessageOnPort, workerData: { port, data } } = require('node:worker_threads');
(${code})({
  data,
  receive: () => receiveMessageOnPort(port)?.message,
  send: (message) => port.postMessage(message),
});`;
