import { Script, createContext } from 'node:vm';
import { UserError } from '../../engine/index.js';

const script = new Script('run()');
/** Holds what the script calls; making one takes longer than most calls. */
const context = createContext({}) as { run?: () => void };

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
  context.run = (): void => {
    try {
      const value = run();
      outcome = () => value;
    } catch (error) {
      outcome = () => {
        throw error;
      };
    }
  };
  const timeout = Math.ceil(least + perCharacter * length);
  try {
    script.runInContext(context, { timeout, breakOnSigint: true });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED') process.kill(process.pid, 'SIGINT');
    throw new UserError(
      code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
        ? `${what} took more than ${timeout / 1000} seconds for ${length} characters of text`
        : `${what} was interrupted`,
      { cause: error },
    );
  } finally {
    context.run = undefined;
  }
  return outcome();
}
