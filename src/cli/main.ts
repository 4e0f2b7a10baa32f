#!/usr/bin/env node
import { run } from './run.js';

const interrupt = new AbortController();
let interrupted: number | undefined;
// Exit codes as shells give them. SIGTERM is what schedulers and containers send.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => {
    // The first lets the work end and clean up, the second does not wait for it.
    if (interrupted !== undefined) process.exit(interrupted);
    interrupted = code;
    interrupt.abort();
  });

// A reader that has seen enough (`| head`) is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });

const code = await run(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupt.signal,
});
process.exitCode = code === 130 ? interrupted : code;
