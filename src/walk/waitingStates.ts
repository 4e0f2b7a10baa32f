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

/** Room for the hidden states of rows between layers: in memory where they fit, else on the disk in float32. */
export function waitingStates(
  rows: readonly Int32Array[],
  hiddenSize: number,
  { streams, most, kept, temporary }: WaitingStatesOptions,
): HiddenStates {
  const lengths = rows.map(({ length }) => length);
  if (kept !== undefined) return new DiskStates(lengths, hiddenSize, kept, true);
  const bytes = 4 * hiddenSize * streams * lengths.reduce((sum, length) => sum + length, 0);
  return bytes > most ? new DiskStates(lengths, hiddenSize, temporary, false) : new MemoryStates();
}
