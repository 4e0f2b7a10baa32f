// The runner's side of serve.mjs: one process an engine, asked one thing at a time.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** Seconds of processor time that a process has used, all its threads. */
function processorTime(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return NaN;
  }
}

/** The same of the whole machine. */
function machineTime() {
  try {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
      .split('\n')[0]
      .trim()
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return (user + nice + system + irq + softirq + steal) / 100;
  } catch {
    return NaN;
  }
}

export class Child {
  #process;
  #lines;
  #errors = '';

  constructor(name, command, args) {
    this.name = name;
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr.on('data', (text) => (this.#errors = (this.#errors + text).slice(-4000)));
    this.#process.stdin.on('error', () => undefined);
    this.#process.on('error', (error) => (this.#errors += error.message));
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** Waits until it has loaded its model; what it says of itself. */
  async ready() {
    return (this.facts = await this.#answer());
  }

  /** Asks for a measurement. `processor`: seconds that it used, all threads; `others`: processors that other processes kept busy meanwhile. */
  async measure(command) {
    const before = { time: performance.now(), machine: machineTime(), own: processorTime(this.#process.pid) };
    this.#process.stdin.write(`${command}\n`);
    const { rate } = await this.#answer();
    const seconds = (performance.now() - before.time) / 1000;
    const processor = processorTime(this.#process.pid) - before.own;
    const others = (machineTime() - before.machine - processor) / seconds;
    return { rate, processor, others: Math.max(0, others) };
  }

  /** Asks for anything else. */
  async ask(command) {
    this.#process.stdin.write(`${command}\n`);
    return await this.#answer();
  }

  stop() {
    this.#process.stdin.end('quit\n');
    setTimeout(() => this.#process.kill('SIGKILL'), 5000).unref();
  }

  /** The next line that is JSON; engines print what they like besides. */
  async #answer() {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done)
        throw new Error(
          `${this.name} ended: ${this.#errors.trim().split('\n').slice(-5).join('\n') || 'without a word'}`,
        );
      if (!value.startsWith('{')) continue;
      const answer = JSON.parse(value);
      if (answer.error) throw new Error(`${this.name}: ${answer.error}`);
      return answer;
    }
  }
}
