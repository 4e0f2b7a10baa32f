/** What a process whose addresses are limited (`ulimit -v`) can reserve: shared memories reserve all that they may grow to. */
import { UserError } from '../../errors.js';
import { host } from '../../hosts/index.js';
import { webAssembly, type WasmMemory } from '../compiler/webAssembly.js';
import { checkBounds } from './tier.js';

const pageBytes = 65536;

/** Node's own worker reserves so much, nearly all of it for code and heaps that it never has; without it, it ends the process. */
const workerBytes = 900e6;

/** Left to Node itself: heaps, threads that read files. */
const spareBytes = 250e6;

/** Pages that a first memory may grow to, of `wanted`: half of what a limit leaves at most. */
export function affordablePages(wanted: number): number {
  const space = host.addressSpace();
  if (!space) return wanted;
  return Math.max(1, Math.min(wanted, Math.floor((space.limit - space.taken) / 2 / pageBytes)));
}

/** More than the cores only wait for each other; some are let be, for tests of how work is shared. */
const fewThreads = 16;

/** Pages of a browser that are not cross-origin isolated have no memory that threads share. */
export const canShare = typeof SharedArrayBuffer !== 'undefined';

/** Threads, of `wanted`, that are of use and fit beside a memory which is there already. */
export function affordableThreads(wanted: number): number {
  if (!canShare) return 1;
  const useful = Math.min(wanted, Math.max(host.cores(), fewThreads));
  const space = host.addressSpace();
  if (!space) return useful;
  const left = space.limit - space.taken - spareBytes;
  return Math.max(1, Math.min(useful, 1 + Math.floor(left / workerBytes)));
}

/** A shared memory of one page that may grow to `pages`. UserError where there are not so many addresses. */
export function reserve(pages: number): WasmMemory {
  const space = host.addressSpace();
  // V8 would reserve less without a word, and the memory would not grow.
  if (space && space.limit - space.taken < pages * pageBytes) throw tooFew(pages);
  try {
    return new webAssembly.Memory({ initial: 1, maximum: pages, shared: true });
  } catch (error) {
    if (error instanceof RangeError) throw tooFew(pages, error);
    throw error;
  }
}

function tooFew(pages: number, cause?: RangeError): UserError {
  const space = host.addressSpace();
  if (!space)
    return new UserError(`the system has no ${pages * pageBytes} bytes of addresses for WebAssembly`, { cause });
  return new UserError(
    `WebAssembly cannot reserve memory: this process may have ${space.limit} bytes of addresses (\`ulimit -v\`), of which ${space.taken} are taken`,
    {
      hint: cause
        ? `raise the limit to 12 GB or more, since V8 reserves 10 GB a memory, or set NODE_OPTIONS=${checkBounds}, with which it does not`
        : 'raise the limit, or use a smaller model, a shorter context or quantized weights',
      cause,
    },
  );
}
