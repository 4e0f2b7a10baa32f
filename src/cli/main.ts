#!/usr/bin/env node
import { run } from './run.js';
import { StandardStream } from './standardStream.js';

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

const code = await run(process.argv.slice(2), {
  stdout: new StandardStream(process.stdout, 'standard output'),
  stderr: new StandardStream(process.stderr, 'standard error'),
  signal: interrupt.signal,
});
process.exitCode = code === 130 ? interrupted : code;
