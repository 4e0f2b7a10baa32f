import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Instruction sets that decide how fast a matrix product can be, as /proc/cpuinfo names them. */
const named = [
  'sse4_2',
  'avx',
  'avx2',
  'fma',
  'f16c',
  'avx_vnni',
  'avx512f',
  'avx512bw',
  'avx512vl',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'amx_int8',
  'asimd',
  'asimddp',
  'i8mm',
  'bf16',
  'sve',
  'sve2',
];

/** Where a measurement was made. */
export interface BenchMachine {
  readonly processor: string;
  readonly cores: number;
  /** Empty where the system does not tell. */
  readonly instructionSets: readonly string[];
  readonly node: string;
  readonly v8: string;
}

export function benchMachine(): BenchMachine {
  const processors = cpus();
  const { node, v8 } = process.versions;
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    instructionSets: instructionSets(),
    node,
    v8,
  };
}

function instructionSets(): string[] {
  try {
    return parseFlags(readFileSync('/proc/cpuinfo', 'utf8'));
  } catch {
    return [];
  }
}

/** Of the first processor in the text of /proc/cpuinfo. */
export function parseFlags(cpuinfo: string): string[] {
  const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1].trim().split(/\s+/) ?? []);
  return named.filter((name) => flags.has(name));
}
