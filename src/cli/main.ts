#!/usr/bin/env node
import { run } from './run.js';
import { StandardStream } from './standardStream.js';

const interrupt = new AbortController();
process.on('SIGINT', () => {
  // The first lets the work end and clean up, the second does not wait for it.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort();
});

process.exitCode = await run(process.argv.slice(2), {
  stdout: new StandardStream(process.stdout, 'standard output'),
  stderr: new StandardStream(process.stderr, 'standard error'),
  signal: interrupt.signal,
});
