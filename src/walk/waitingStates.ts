import { UserError } from '../engine/index.js';
import { addressableBytes, defaultMaxMemory, memoryNeeds, type Model } from '../models/index.js';
import { DiskStates } from './diskStates.js';
import { MemoryStates, type HiddenStates } from './hiddenStates.js';

export interface WaitingStatesOptions {
  /** Streams that wait at a time. */
  readonly streams: number;
  /** Bytes that they may take in memory. */
  readonly most: number;
  /** A folder in which they stay, on the disk in any case, for a run that continues this one. */
  readonly kept?: string;
  /** For temporary files. @defaultValue the system's folder */
  readonly temporary?: string;
}

export interface StatesBesideOptions extends Omit<WaitingStatesOptions, 'most'> {
  /** Bytes that the process may take. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
  /** Bytes of the weights that are loaded at a time. */
  readonly loaded: number;
  /** Keeps the states on the disk in any case. @defaultValue 'auto' */
  readonly spill?: 'always' | 'auto';
}

/**
 * Room for the hidden states of rows in what memory a part of the weights leaves, else on the disk. UserError where that
 * part and a row do not fit by themselves.
 */
export function statesBeside(
  model: Model,
  rows: readonly Int32Array[],
  { maxMemory = defaultMaxMemory(), loaded, spill = 'auto', ...options }: StatesBesideOptions,
): HiddenStates {
  const { row, program } = memoryNeeds(model, Math.max(...rows.map(({ length }) => length)));
  const least = loaded + row + program;
  if (least > maxMemory || loaded + row > addressableBytes(model))
    throw new UserError(
      `a layer of ${bytesText(loaded)} and a row of ${bytesText(row)} need ${bytesText(least)} of memory in all, more than ${bytesText(Math.min(maxMemory, addressableBytes(model)))}`,
      { hint: 'allow more with `maxMemory`, or take shorter rows' },
    );
  const most = spill === 'always' ? 0 : maxMemory - least;
  return waitingStates(rows, model.config.hiddenSize, { ...options, most });
}

const bytesText = (bytes: number): string => `${(bytes / 1e6).toPrecision(4)} MB`;

/** Room for the hidden states of rows between layers: in memory where they fit, else on the disk in float32. */
export function waitingStates(
  rows: readonly { readonly length: number }[],
  hiddenSize: number,
  { streams, most, kept, temporary }: WaitingStatesOptions,
): HiddenStates {
  const lengths = rows.map(({ length }) => length);
  if (kept !== undefined) return new DiskStates(lengths, hiddenSize, kept, true);
  const bytes = 4 * hiddenSize * streams * lengths.reduce((sum, length) => sum + length, 0);
  return bytes > most ? new DiskStates(lengths, hiddenSize, temporary, false) : new MemoryStates();
}
