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
 * others in order; one that cannot be divided runs whole, if nothing else of a prompt ran before it.
 */
export function planStep(pending: readonly Pending[], budget: number): number[] {
  let left = Math.max(1, budget - pending.filter(({ tokens }) => tokens === 1).length);
  const full = left;
  return pending.map(({ tokens, divisible }) => {
    if (tokens <= 1) return tokens;
    const taken = divisible ? Math.min(tokens, left) : tokens <= left || left === full ? tokens : 0;
    left = Math.max(0, left - taken);
    return taken;
  });
}
