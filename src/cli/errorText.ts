import { CommanderError } from 'commander';
import {
  CacheError,
  ShapeError,
  UnsupportedOpError,
  UseAfterFreeError,
  UserError,
  WrongEngineError,
} from '../engine/index.js';

const expected = [UserError, ShapeError, UnsupportedOpError, UseAfterFreeError, WrongEngineError, CacheError];

/** An error as one line: what is wrong and, where known, what to do about it. */
export function errorText(error: unknown, { verbose = false }: { verbose?: boolean } = {}): string {
  if (verbose) return `error: ${stackOf(error)}`;
  const message = (error instanceof Error ? error.message || error.name : String(error))
    .replace(/\s*\n\s*/g, ' ')
    .trim();
  if (error instanceof CommanderError) return shortened(message.replace(/\(Did you mean/, '(did you mean'));
  const hint = expected.some((kind) => error instanceof kind) ? '' : ' (unexpected; run with --verbose for the stack)';
  return `error: ${shortened(message)}${hint}`;
}

/** Names from files and arguments can have any length. */
function shortened(message: string, most = 2000): string {
  return message.length > most ? `${message.slice(0, most)}…` : message;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? String(error);
  return error.cause === undefined ? own : `${own}\ncaused by: ${stackOf(error.cause)}`;
}
