import { describe, expect, it } from 'vitest';
import { hasByteDots, hasLargeCache } from '../../../src/engine/wasm/runtime/processor.js';

const files =
  (cache: string, flags = '') =>
  (path: string): string =>
    path.endsWith('cpuinfo') ? `processor\t: 0\nflags\t\t: fpu ${flags} lm\n` : cache;
const isArm = process.arch === 'arm64';

describe('the processor', () => {
  it('multiplies bytes with AVX-VNNI, not with what AVX-512 has of it', () => {
    expect(hasByteDots(files('', 'avx2 avx_vnni'))).toBe(true);
    expect(hasByteDots(files('', 'avx2 avx512_vnni'))).toBe(isArm);
    expect(hasByteDots(() => '')).toBe(isArm);
  });

  it('has a large second-level cache from 1 MiB on; where nobody tells, if it multiplies bytes', () => {
    expect(hasLargeCache(files('1024K\n'))).toBe(true);
    expect(hasLargeCache(files('2048K\n'))).toBe(true);
    expect(hasLargeCache(files('512K\n', 'avx_vnni'))).toBe(false);
    expect(hasLargeCache(files('', 'avx_vnni'))).toBe(true);
    expect(hasLargeCache(() => '')).toBe(isArm);
  });
});
