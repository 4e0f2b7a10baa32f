import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DiskStates, MemoryStates, waitingStates } from '../../../src/walk/index.js';

const rows = [new Int32Array(3), new Int32Array(5)];
/** Of 2 streams of 8 tokens, 4 float32 numbers each. */
const bytes = 4 * 4 * 2 * 8;
const folder = mkdtempSync(join(tmpdir(), 'llm-drop-states-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('waitingStates', () => {
  it('stays in memory as long as all streams fit', () => {
    using fits = waitingStates(rows, 4, { streams: 2, most: bytes });
    expect(fits).toBeInstanceOf(MemoryStates);
    using spills = waitingStates(rows, 4, { streams: 2, most: bytes - 1, temporary: folder });
    expect(spills).toBeInstanceOf(DiskStates);
  });

  it('leaves no name behind of what spills', () => {
    using states = waitingStates(rows, 4, { streams: 2, most: 0, temporary: folder });
    const values = Float32Array.from({ length: 20 }, (_, i) => i);
    states.write(0, 1, values);
    expect(states.read(0, 1)).toEqual(values);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('keeps what a later run needs, however little it is', () => {
    const kept = join(folder, 'kept');
    const values = new Float32Array(12).fill(7);
    {
      using states = waitingStates(rows, 4, { streams: 2, most: Infinity, kept });
      states.write(3, 0, values);
    }
    expect(existsSync(kept)).toBe(true);
    using again = waitingStates(rows, 4, { streams: 2, most: Infinity, kept });
    expect(again.read(3, 0)).toEqual(values);
  });
});
