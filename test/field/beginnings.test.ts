/** Losses with and without a beginning-of-text token, as other tools count them, of a model that was trained with one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluateModel } from '../../src/index.js';
import { shared } from '../support/oracleCases.js';

const model = join(shared, 'models/stories260K');
const text = join(shared, 'data/tinystories.txt');
const there = existsSync(model) && existsSync(text);
if (!there) console.warn(`skipped: there is no ${model}, or no ${text}`);

// From PyTorch in float32; the last digit that is given is rounded.
describe.skipIf(!there)('the loss of stories', () => {
  it.each([
    [undefined, 8, 1.5332, 2e-4],
    ['document', 8, 1.381, 5e-4],
    ['alone', 16, 1.258, 5e-4],
  ] as const)('with the token %s is what transformers gives', async (bos, heldOut, expected, tolerance) => {
    const { loss, perplexity } = await evaluateModel(model, { texts: [text], heldOut, length: 256, bos });
    expect(Math.abs(loss - expected)).toBeLessThan(tolerance);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 9);
  });
});
