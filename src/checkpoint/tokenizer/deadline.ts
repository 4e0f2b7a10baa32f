import { UserError } from '../../engine/index.js';
import { host } from '../../engine/hosts/index.js';

/** Milliseconds that a call has, beside those for each character of its text. */
const least = 3000;
const perCharacter = 0.02;

/**
 * Runs what a file wrote (regular expressions, templates) within a limit of time that grows with the length of the
 * text: a pattern that backtracks without end is stopped, and so it is by Ctrl-C. UserError that says `what` took so
 * long; what `run` throws itself is passed on.
 */
export function withinDeadline<T>(what: string, length: number, run: () => T): T {
  let outcome: () => T = () => {
    throw new Error('nothing was run');
  };
  const timeout = Math.ceil(least + perCharacter * length);
  const end = host.runWithin(timeout, () => {
    try {
      const value = run();
      outcome = () => value;
    } catch (error) {
      outcome = () => {
        throw error;
      };
    }
  });
  switch (end) {
    case 'ended':
      return outcome();
    case 'late':
      throw new UserError(`${what} took more than ${timeout / 1000} seconds for ${length} characters of text`);
    case 'interrupted':
      throw new UserError(`${what} was interrupted`);
  }
}
