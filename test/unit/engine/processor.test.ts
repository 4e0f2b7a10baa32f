import { describe, expect, it } from 'vitest';
import type { Processor } from '../../../src/engine/host.js';
import { bytesIn, flagsIn } from '../../../src/engine/hosts/node.js';
import { hasByteDots, hasLargeCache } from '../../../src/engine/wasm/runtime/processor.js';

const cpuinfo = (flags: string): string => `processor\t: 0\nflags\t\t: fpu ${flags} lm\nbugs\t\t:\n`;
const processor = (cache: string, flags = '', architecture = 'x64'): Processor => ({
  architecture,
  flags: () => flagsIn(cpuinfo(flags)),
  secondLevelCacheBytes: () => bytesIn(cache),
});
const unknown = (architecture: string): Processor => ({
  architecture,
  flags: () => flagsIn(''),
  secondLevelCacheBytes: () => bytesIn(''),
});

describe('the processor', () => {
  it('multiplies bytes with AVX-VNNI, not with what AVX-512 has of it', () => {
    expect(hasByteDots(processor('', 'avx2 avx_vnni'))).toBe(true);
    expect(hasByteDots(processor('', 'avx2 avx512_vnni'))).toBe(false);
    expect(hasByteDots(processor('', 'avx_vnni_int8'))).toBe(false);
    expect(hasByteDots(unknown('x64'))).toBe(false);
    expect(hasByteDots(unknown('arm64'))).toBe(true);
  });

  it('has a large second-level cache from 1 MiB on; where nobody tells, if it multiplies bytes', () => {
    expect(hasLargeCache(processor('1024K\n'))).toBe(true);
    expect(hasLargeCache(processor('2048K\n'))).toBe(true);
    expect(hasLargeCache(processor('512K\n', 'avx_vnni'))).toBe(false);
    expect(hasLargeCache(processor('', 'avx_vnni'))).toBe(true);
    expect(hasLargeCache(unknown('x64'))).toBe(false);
    expect(hasLargeCache(unknown('arm64'))).toBe(true);
  });
});

describe('what Linux says of it', () => {
  it('is read as flags and bytes', () => {
    expect([...flagsIn(cpuinfo('avx2 avx_vnni'))]).toEqual(['fpu', 'avx2', 'avx_vnni', 'lm']);
    expect([...flagsIn('processor\t: 0\n')]).toEqual([]);
    expect(bytesIn('512K\n')).toBe(2 ** 19);
    expect(bytesIn('')).toBeUndefined();
  });
});
