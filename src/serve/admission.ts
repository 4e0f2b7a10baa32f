import { sharedLength } from '../models/index.js';
import type { Sequence } from './sequence.js';
import type { Slot } from './slot.js';

/** A decoding step costs about as much as this many tokens of a prompt. */
const tokensOfStep = 16;

/** Sequences that wait for one slot at most, so that a beginning that all share does not leave the other slots idle. */
const mostWaiting = 8;

/** How many of those that wait are looked at. */
const lookAhead = 512;

/** What may run: on which slot, and after how many tokens that are there. */
export interface Admission {
  readonly sequence: Sequence;
  readonly slot: Slot;
  readonly reused: number;
}

/**
 * Which of the sequences that wait go to which free slots. First those that were passed over too often; then where most
 * of a slot's text is a sequence's own; then the others in the order in which they came, on the slots that were longest
 * unused. One waits a little where it begins as another that is about to end.
 *
 * @param canReuse whether keys and values of a slot's text serve a sequence's (`Model.keepsAngles`)
 */
export function admit(
  queue: readonly Sequence[],
  slots: readonly Slot[],
  canReuse: (slot: Slot, sequence: Sequence) => boolean,
): Admission[] {
  const free = new Set(slots.filter(({ sequence }) => !sequence));
  if (free.size === 0) return [];
  const waiting = new Set(queue.slice(0, lookAhead));
  const running = slots.flatMap(({ sequence }) => (sequence ? [{ sequence, waiters: 0 }] : []));
  const admitted: Admission[] = [];
  const reusable = (slot: Slot, sequence: Sequence): number => (canReuse(slot, sequence) ? slot.reusable(sequence) : 0);
  const take = (sequence: Sequence, slot: Slot, reused = reusable(slot, sequence)): void => {
    admitted.push({ sequence, slot, reused });
    running.push({ sequence, waiters: 0 });
    free.delete(slot);
    waiting.delete(sequence);
  };
  const patience = 8 * slots.length;
  for (const sequence of [...waiting].filter(({ passedOver }) => passedOver >= patience))
    if (free.size) take(sequence, oldest(free));

  const pairs = [...waiting].flatMap((sequence) =>
    [...free].flatMap((slot) => {
      const reused = reusable(slot, sequence);
      return 2 * reused >= slot.tokens.length && reused > 0 ? [{ sequence, slot, reused }] : [];
    }),
  );
  for (const { sequence, slot, reused } of pairs.sort((a, b) => b.reused - a.reused))
    if (free.has(slot) && waiting.has(sequence)) take(sequence, slot, reused);

  for (const sequence of waiting) {
    if (free.size === 0) break;
    const sibling = running.find(
      (other) =>
        other.waiters < mostWaiting &&
        sharedLength(other.sequence.text, sequence.text) >= tokensOfStep * Math.max(1, other.sequence.tokensLeft),
    );
    if (sibling) sibling.waiters++;
    else take(sequence, oldest(free));
  }
  return admitted;
}

const oldest = (slots: ReadonlySet<Slot>): Slot => [...slots].reduce((a, b) => (b.usedAt < a.usedAt ? b : a));
