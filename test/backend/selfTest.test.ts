/** The check of kernels at the start of the wasm backend. */
import { describe, expect, it } from 'vitest';
import { Machine } from '../../src/engine/wasm/runtime/machine.js';
import { pairsPlan } from '../../src/engine/wasm/layouts/int4/int4Plan.js';
import { passesSelfTest } from '../../src/engine/wasm/operations/selfTest.js';
import { strictTile } from '../../src/engine/wasm/layouts/tilePlan.js';

const machine = (): Machine => new Machine(pairsPlan, false, 1, strictTile);

describe('the self-test', () => {
  it('passes what computes right', async () => {
    const right = machine();
    expect(await passesSelfTest(right)).toBe(true);
    right.dispose();
  });

  // Kernels that take one form of weights for another compute something else.
  it.each([
    ['float32', 'bfloat16'],
    ['bfloat16', 'float16'],
    ['float16', 'bfloat16'],
  ] as const)('finds wrong products with %s', async (stored, other) => {
    const wrong = machine();
    Object.assign(wrong.gemm, { [stored]: wrong.gemm[other] });
    expect(await passesSelfTest(wrong)).toBe(false);
    wrong.dispose();
  });
});
