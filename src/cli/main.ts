#!/usr/bin/env node
import { run } from './run.js';

const interrupt = new AbortController();
process.on('SIGINT', () => {
  // The first lets the work end and clean up, the second does not wait for it.
  if (interrupt.signal.aborted) process.exit(130);
  interrupt.abort();
});

// A reader that has seen enough (`| head`) is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });

process.exitCode = await run(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupt.signal,
});
