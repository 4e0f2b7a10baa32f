/** A sequence that has tokens to run. */
export interface Pending {
  /** How many. */
  readonly tokens: number;
  /** Whether they may run in several passes. */
  readonly divisible: boolean;
}

/**
 * How many tokens of each sequence run in the next step. Those with one token, which decode, always run: however long a
 * prompt is, the others' next tokens wait for no more than `budget` of its tokens. What is left of the budget goes to the
 * others in order; one that cannot be divided runs whole, if nothing else of a prompt ran before it. No part of a prompt
 * is a single token: it would be computed as one that decodes, whose sums go in another order, and what a text gets must
 * not depend on the others.
 */
export function planStep(pending: readonly Pending[], budget: number): number[] {
  let left = Math.max(leastOfPrompt, budget - pending.filter(({ tokens }) => tokens === 1).length);
  const full = left;
  return pending.map(({ tokens, divisible }) => {
    if (tokens <= 1) return tokens;
    const taken = divisible ? partOf(tokens, left) : tokens <= left || left === full ? tokens : 0;
    left = Math.max(0, left - taken);
    return taken;
  });
}

/** So many can be parted in any case. */
const leastOfPrompt = 3;

function partOf(tokens: number, most: number): number {
  if (tokens <= most) return tokens;
  const taken = tokens - most === 1 ? most - 1 : most;
  return taken > 1 ? taken : 0;
}
