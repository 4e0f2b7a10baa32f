import { describe, expect, it } from 'vitest';
import { parseFlags } from '../../../src/bench/benchMachine.js';

describe('instruction sets', () => {
  it('are those of the first processor that matter', () =>
    expect(parseFlags('processor\t: 0\nflags\t\t: fpu avx512_vnni avx2 fma\n\nflags\t\t: sse4_2')).toEqual([
      'avx2',
      'fma',
      'avx512_vnni',
    ]));

  it('of ARM are its features', () =>
    expect(parseFlags('Features\t: fp asimd asimddp i8mm')).toEqual(['asimd', 'asimddp', 'i8mm']));

  it('are none where the system does not tell', () => expect(parseFlags('model name : x')).toEqual([]));
});
