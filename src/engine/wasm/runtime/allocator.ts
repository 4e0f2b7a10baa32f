import { UserError } from '../../errors.js';
import { roundUp } from '../layouts/roundUp.js';

const slabBytes = 1 << 18;
/** Blocks up to this size come in classes; larger ones are spans of whole pages. */
const largestClass = slabBytes / 4;
const pageBytes = 1 << 16;
const alignment = 64;

/** Where free pages lie: bytes from `start`. */
interface Span {
  start: number;
  bytes: number;
}

/**
 * Divides a growing memory. Small blocks come in size classes, four to an octave, each with a list of free ones; large
 * ones are spans of pages, best fit first, joined with their neighbours when freed. Addresses are multiples of 64.
 */
export class Allocator {
  readonly #free = new Map<number, number[]>();
  readonly #spans: Span[] = [];
  #slab: Span = { start: 0, bytes: 0 };
  #end: number;
  #live = 0;

  constructor(
    start: number,
    /** Bytes that the memory may grow to. */
    private readonly limit: number,
    /** Makes the memory at least so many bytes long; false where it cannot. */
    private readonly grow: (bytes: number) => boolean,
  ) {
    this.#end = roundUp(start, pageBytes);
  }

  /** Bytes given out and not yet freed, rounded as they were. */
  get live(): number {
    return this.#live;
  }

  /** Whether so many bytes are free in one piece, and `spare` more besides. */
  hasRoom(bytes: number, spare = 0): boolean {
    const size = Allocator.rounded(bytes);
    if (this.#live + size + spare > this.limit) return false;
    const last = this.#spans.at(-1);
    const start = last && last.start + last.bytes === this.#end ? last.start : this.#end;
    return start + size <= this.limit || this.#spans.some((span) => span.bytes >= size);
  }

  /** Bytes that a request takes. */
  static rounded(bytes: number): number {
    if (bytes > largestClass) return roundUp(bytes, pageBytes);
    const octave = 2 ** Math.floor(Math.log2(Math.max(bytes, alignment)));
    return roundUp(Math.max(bytes, alignment), Math.max(octave / 4, alignment));
  }

  allocate(bytes: number): number {
    const size = Allocator.rounded(bytes);
    const address = size > largestClass ? this.#takeSpan(size) : (this.#free.get(size)?.pop() ?? this.#carve(size));
    this.#live += size;
    return address;
  }

  free(address: number, bytes: number): void {
    const size = Allocator.rounded(bytes);
    this.#live -= size;
    if (size > largestClass) return this.#giveSpan(address, size);
    const list = this.#free.get(size);
    if (list) list.push(address);
    else this.#free.set(size, [address]);
  }

  #carve(size: number): number {
    if (this.#slab.bytes < size) this.#slab = { start: this.#takeSpan(slabBytes), bytes: slabBytes };
    const { start } = this.#slab;
    this.#slab = { start: start + size, bytes: this.#slab.bytes - size };
    return start;
  }

  #takeSpan(bytes: number): number {
    let best = -1;
    this.#spans.forEach((span, at) => {
      if (span.bytes >= bytes && (best < 0 || span.bytes < this.#spans[best].bytes)) best = at;
    });
    if (best < 0) return this.#extend(bytes);
    const span = this.#spans[best];
    const { start } = span;
    span.start += bytes;
    span.bytes -= bytes;
    if (span.bytes === 0) this.#spans.splice(best, 1);
    return start;
  }

  /** Grows the memory; the last span is used where it is free. */
  #extend(bytes: number): number {
    const last = this.#spans.at(-1);
    const start = last && last.start + last.bytes === this.#end ? last.start : this.#end;
    if (start + bytes > this.limit || !this.grow(start + bytes))
      throw new UserError(
        `${bytes} bytes more are needed, but WebAssembly memory holds ${this.#live} of at most ${this.limit} bytes already`,
        { hint: 'use a smaller model, a shorter context or quantized weights' },
      );
    if (last && start === last.start) this.#spans.pop();
    this.#end = start + bytes;
    return start;
  }

  #giveSpan(start: number, bytes: number): void {
    let at = this.#spans.findIndex((span) => span.start > start);
    if (at < 0) at = this.#spans.length;
    this.#spans.splice(at, 0, { start, bytes });
    this.#join(at);
    if (at > 0) this.#join(at - 1);
  }

  /** Joins a span with the next where they touch. */
  #join(at: number): void {
    const [span, next] = [this.#spans[at], this.#spans[at + 1]];
    if (!next || span.start + span.bytes !== next.start) return;
    span.bytes += next.bytes;
    this.#spans.splice(at + 1, 1);
  }
}
