import { UserError, oneOf, whole, type Options } from '../engine/index.js';

/** What is measured, in llama-bench's terms. */
export interface BenchTest {
  /** `prefill` runs `tokens` tokens of each sequence in one pass, `decode` one token of each at a time. */
  readonly kind: 'prefill' | 'decode';
  /** Of each sequence. */
  readonly tokens: number;
  /** Tokens of each sequence that are in the key-value cache before. */
  readonly depth: number;
  /** Sequences at once. */
  readonly batch: number;
}

/** What these may be. */
export const benchTest: Options<BenchTest> = {
  kind: oneOf(['prefill', 'decode']),
  tokens: whole(1),
  depth: whole(0),
  batch: whole(1),
};

/** `pp512`, `tg128`, `tg128@d2048`. The batch is not part of the name. */
export const testName = ({ kind, tokens, depth }: Omit<BenchTest, 'batch'>): string =>
  `${kind === 'prefill' ? 'pp' : 'tg'}${tokens}${depth > 0 ? `@d${depth}` : ''}`;

export function parseTest(name: string, batch = 1): BenchTest {
  const match = /^(pp|tg)([1-9]\d*)(?:@d(\d+))?$/.exec(name.replace(/\s/g, ''));
  if (!match) throw new UserError(`'${name}' is no test`, { hint: 'tests look like pp512, tg128 or tg128@d2048' });
  return {
    kind: match[1] === 'pp' ? 'prefill' : 'decode',
    tokens: Number(match[2]),
    depth: Number(match[3] ?? 0),
    batch,
  };
}

/** Which tests to run, as llama-bench's options say it: each size at each depth and batch. */
export interface TestSizes {
  /** Tokens of a prefill; 0 leaves it out. */
  readonly prompt: number;
  /** Tokens decoded one by one; 0 leaves it out. */
  readonly generate: number;
  readonly depths: readonly number[];
  readonly batches: readonly number[];
}

export function testsOf({ prompt, generate, depths, batches }: TestSizes): BenchTest[] {
  const kinds = [{ kind: 'prefill', tokens: prompt } as const, { kind: 'decode', tokens: generate } as const];
  return batches.flatMap((batch) =>
    depths.flatMap((depth) => kinds.filter(({ tokens }) => tokens > 0).map((test) => ({ ...test, depth, batch }))),
  );
}
