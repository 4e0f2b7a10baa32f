/**
 * Puts a server under load: npx tsx bench/serve/load.ts [MODEL] [--clients 64] [--seconds 600], after npm run build.
 * Fails where a valid request does, or where memory grows by more than a twentieth.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { memoryGrowth, runLoad } from './loadClients.js';
import { startServer } from './serverProcess.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { clients: { type: 'string', default: '64' }, seconds: { type: 'string', default: '600' } },
});
const [model = fileURLToPath(new URL('../../models/tiny-stories', import.meta.url))] = positionals;

const main = async (): Promise<void> => {
  await using server = await startServer(model);
  const report = await runLoad({
    url: server.url,
    clients: Number(values.clients),
    seconds: Number(values.seconds),
  });
  const growth = memoryGrowth(report.memory);
  const ms = (seconds: number): string => `${(1000 * seconds).toFixed(1)} ms`;
  const { firstToken, betweenTokens, failures, requests, memory } = report;
  console.log(`${report.seconds.toFixed(0)} s, requests: ${JSON.stringify(requests)}`);
  console.log(`${report.tokensPerSecond.toFixed(0)} tokens a second`);
  console.log(`time to first token: p50 ${ms(firstToken.p50)}, p99 ${ms(firstToken.p99)}`);
  console.log(`time between tokens: p50 ${ms(betweenTokens.p50)}, p99 ${ms(betweenTokens.p99)}`);
  console.log(
    `resident memory: ${(memory.at(-1)! / 2 ** 20).toFixed(0)} MiB, ${((growth - 1) * 100).toFixed(1)} % growth`,
  );
  console.log(memory.map((bytes) => (bytes / 2 ** 20).toFixed(0)).join(' '));
  console.log(`failures: ${failures.length}${failures.length ? `, the first ${failures[0]}` : ''}`);
  process.exitCode = failures.length || growth > 1.05 ? 1 : 0;
};
await main();
