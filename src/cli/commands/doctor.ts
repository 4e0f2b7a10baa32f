import { backendChoices, createEngine, tfjsPackages, type Abilities, type BackendChoice } from '../../engine/index.js';
import { host } from '../../engine/hosts/index.js';
import { command } from '../command.js';
import { fastestNode } from '../newerNode.js';
import { version } from '../package.js';
import { facts, table } from '../table.js';
import { formatBytes } from '../units.js';

/** A backend as it starts here, or why it does not. */
interface Started {
  readonly backend: BackendChoice;
  readonly abilities?: Abilities;
  readonly problem?: string;
}

interface Diagnosis {
  readonly version: string;
  readonly node: string;
  readonly v8: string;
  readonly platform: string;
  readonly architecture: string;
  readonly cores: number;
  /** Those of the processor that matter here, as Linux names them; none where the system does not tell. */
  readonly instructionSets: readonly string[];
  /** Bytes that the machine, or the container, has. */
  readonly memory: number;
  /** Bytes of addresses that the process may take; null where there is no limit. */
  readonly addressSpace: number | null;
  /** Optional packages and their versions; null where one is not installed. */
  readonly packages: Readonly<Record<string, string | null>>;
  readonly backends: readonly Started[];
  /** What to do, in sentences. */
  readonly advice: readonly string[];
}

export const doctor = command('doctor', 'Show what this machine computes with, and what would make it faster', {
  description:
    'Starts every backend once and shows what it found: threads, instruction sets, versions, a GPU or none. Where one does not start it says why, and what to install.',
  alone: true,
  computes: false,
  options: {},
  examples: [
    ['doctor', 'Node, processor, memory, backends, and what to do'],
    ['doctor --json', 'the same for a program, or for a report of a fault'],
  ],
  run: async ({ threads }, ui) => ui.show(await diagnose(threads), describe),
});

async function diagnose(threads: number | undefined): Promise<Diagnosis> {
  const backends: Started[] = [];
  for (const backend of backendChoices.filter((one) => !generic.has(one))) backends.push(await start(backend, threads));
  const packages = [...tfjsPackages, 'webgpu'].map((name) => [name, host.installedVersion(name) ?? null] as const);
  const found = {
    version,
    node: process.versions.node,
    v8: process.versions.v8,
    platform: process.platform,
    architecture: host.processor.architecture,
    cores: host.cores(),
    instructionSets: [...host.processor.flags()].filter((name) => telling.has(name)),
    memory: host.memoryBytes(),
    addressSpace: host.addressSpace()?.limit ?? null,
    packages: Object.fromEntries(packages),
    backends,
  };
  return { ...found, advice: adviceFor(found) };
}

/** Of x86-64: kernels, or other engines beside which they are measured, are faster with these. */
const telling: ReadonlySet<string> = new Set(
  'avx avx2 fma f16c avx_vnni avx512f avx512_vnni avx512_bf16 amx_int8 amx_bf16'.split(' '),
);

/** Names that say nothing of the machine: the definition of all kernels, and whichever TensorFlow.js comes first. */
const generic: ReadonlySet<BackendChoice> = new Set(['reference', 'tfjs']);

async function start(backend: BackendChoice, threads: number | undefined): Promise<Started> {
  try {
    using engine = await createEngine(backend, { threads, v8Flags: true });
    return { backend, abilities: engine.backend.abilities };
  } catch (error) {
    return { backend, problem: error instanceof Error ? error.message : String(error) };
  }
}

function adviceFor({ node, addressSpace, packages, backends }: Omit<Diagnosis, 'advice'>): string[] {
  const advice: string[] = [];
  if (Number.parseInt(node, 10) < fastestNode)
    advice.push(`Node ${fastestNode} computes faster than the Node ${node} here: its V8 pairs vectors to 256 bits.`);
  if (addressSpace !== null)
    advice.push(
      `Addresses are limited to ${formatBytes(addressSpace)}: ulimit -v unlimited gives wasm all its memory.`,
    );
  for (const { backend, abilities, problem } of backends) {
    const name = backend.slice(backend.indexOf(':') + 1);
    const installed = packages[`@tensorflow/tfjs-${name}`];
    if (installed && problem !== undefined)
      advice.push(`npm rebuild @tensorflow/tfjs-${name} --build-addon-from-source builds its binding for this Node.`);
    if (backend === 'tfjs:node-gpu' && abilities?.gpu === false)
      advice.push(
        'tfjs-node-gpu found no GPU: it wants an NVIDIA driver, CUDA 11.2 and cuDNN 8.1 where it finds libraries.',
      );
  }
  return advice;
}

function describe(d: Diagnosis): string[] {
  return [
    ...facts([
      ['llm-drop', d.version],
      ['node', `${d.node} (V8 ${d.v8}), ${d.platform} ${d.architecture}`],
      [
        'processor',
        `${d.cores} ${d.cores === 1 ? 'core' : 'cores'}; ${d.instructionSets.join(' ') || 'instruction sets unknown'}`,
      ],
      ['memory', formatBytes(d.memory)],
      ['addresses', d.addressSpace === null ? 'not limited' : formatBytes(d.addressSpace)],
      ...Object.entries(d.packages).flatMap(([name, found]) => (found === null ? [] : [[name, found] as const])),
    ]),
    '',
    ...table([['backend', 'here'], ...d.backends.map((one) => [one.backend, stateOf(one)])]),
    ...(d.advice.length > 0 ? ['', ...d.advice.map((line) => `- ${line}`)] : []),
  ];
}

function stateOf({ abilities, problem }: Started): string {
  if (!abilities) return problem!;
  const { tier, threads, ...details } = abilities;
  return [
    tier,
    `${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    ...Object.entries(details).map(([name, value]) => `${name} ${String(value)}`),
  ].join(', ');
}
