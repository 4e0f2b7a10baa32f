import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import type { HiddenStates } from './hiddenStates.js';

/**
 * Hidden states on the disk in float32, one file for each stream. Temporary files are unlinked as soon as they are
 * open, so that they disappear with the process however it ends; in a folder of `kept` states they stay, for a run that
 * continues this one. Reads and writes are synchronous: asynchronous ones would queue behind the read-ahead of weights,
 * which fills Node's thread pool.
 */
export class DiskStates implements HiddenStates {
  readonly #files = new Map<number, number>();
  /** Where each row begins in a file, in bytes; one more for the end. */
  readonly #offsets: readonly number[];
  /** One buffer for all rows: the engine copies what it is given. */
  readonly #buffer: Float32Array;

  readonly #folder: string;

  /** @param folder undefined: the system's for temporary files */
  constructor(
    rowLengths: readonly number[],
    hiddenSize: number,
    folder: string | undefined,
    private readonly kept: boolean,
  ) {
    this.#folder = folder ?? tmpdir();
    const offsets = [0];
    for (const length of rowLengths) offsets.push(offsets[offsets.length - 1] + 4 * length * hiddenSize);
    this.#offsets = offsets;
    this.#buffer = new Float32Array(Math.max(...rowLengths) * hiddenSize);
    if (kept) attempt('cannot write', this.#folder, () => mkdirSync(this.#folder, { recursive: true }));
  }

  /** Valid until the next read. */
  read(layer: number, row: number): Float32Array {
    const values = this.#buffer.subarray(0, (this.#offsets[row + 1] - this.#offsets[row]) / 4);
    const bytes = new Uint8Array(values.buffer, 0, values.byteLength);
    attempt('cannot read', this.#folder, () => {
      for (let done = 0; done < bytes.length;) {
        const count = readSync(this.#file(layer), bytes, done, bytes.length - done, this.#offsets[row] + done);
        if (count === 0)
          throw new UserError(`${this.#folder}: the hidden states of row ${row} at layer ${layer} are incomplete`, {
            hint: 'to start anew, remove this folder and the progress file beside it',
          });
        done += count;
      }
    });
    return values;
  }

  write(layer: number, row: number, values: Float32Array): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    attempt('cannot write', this.#folder, () => {
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.#file(layer), bytes, done, bytes.length - done, this.#offsets[row] + done);
    });
  }

  keep(layers: readonly number[]): void {
    for (const [layer, file] of this.#files)
      if (!layers.includes(layer)) {
        closeSync(file);
        this.#files.delete(layer);
      }
    if (!this.kept) return;
    const names = layers.map(streamFile);
    for (const name of readdirSync(this.#folder))
      if (!names.includes(name)) rmSync(join(this.#folder, name), { force: true });
  }

  sync(): void {
    if (this.kept) for (const file of this.#files.values()) fdatasyncSync(file);
  }

  [Symbol.dispose](): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }

  #file(layer: number): number {
    let file = this.#files.get(layer);
    if (file === undefined)
      this.#files.set(
        layer,
        (file = this.kept ? openKept(join(this.#folder, streamFile(layer))) : openNameless(this.#folder)),
      );
    return file;
  }
}

const streamFile = (layer: number): string => `stream-${layer}.f32`;

function openKept(path: string): number {
  try {
    return openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return openSync(path, 'w+');
  }
}

function openNameless(folder: string): number {
  const path = join(folder, `llm-drop-${process.pid}-${randomBytes(6).toString('hex')}.f32`);
  const file = openSync(path, 'wx+');
  unlinkSync(path);
  return file;
}

function attempt(action: string, path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw fileError(error, action, path);
  }
}
