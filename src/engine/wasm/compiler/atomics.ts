/** Values that threads share, in the kernel language. */
import type { Kernel } from './kernel.js';
import { Value, coerce, type Arg, type Int } from './language.js';

/** Adds to a word; what it was before. */
export const atomicAdd = (address: Int, by: Arg<'i32'>): Int =>
  new Value('i32', (code) => {
    address.emit(code);
    coerce(by, 'i32').emit(code);
    code.memory('i32.atomic.rmw.add', 0);
  });

export const atomicLoad = (address: Int): Int =>
  new Value('i32', (code) => {
    address.emit(code);
    code.memory('i32.atomic.load', 0);
  });

/** Sleeps so many microseconds, or until woken, if the word is still `expected`. */
export const atomicWait = (address: Int, expected: Int, microseconds: number): Int =>
  new Value('i32', (code) => {
    address.emit(code);
    expected.emit(code);
    code.constant('i64', 1000 * microseconds);
    code.memory('memory.atomic.wait32', 0);
  });

/** Of a cache. */
export const lineBytes = 64;

/** Brings so many lines to a cache near by. Loads are atomic, so that a compiler does not leave out what nobody uses. */
export function touchLines(k: Kernel, at: Int, lines: number): void {
  for (let line = 0; line < lines; line++) k.do(atomicLoad(at.plus(line * lineBytes)));
}
