import { extname } from 'node:path';
import type { Output } from '../checkpoint/index.js';
import {
  UserError,
  checkOptions,
  engineOptions,
  flag,
  oneOf,
  text,
  type BackendChoice,
  type Engine,
  type WeightDType,
} from '../engine/index.js';
import type { Blocks, Drops } from '../models/index.js';
import type { Progress } from '../progress/index.js';
import type { GgufType } from './ggufTensors.js';
import type { Evidence } from './modelCard.js';

export const exportFormats = ['llm-drop', 'hf', 'gguf', 'vllm'] as const;
export type ExportFormat = (typeof exportFormats)[number];

export const exportTypes = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1'] as const satisfies readonly GgufType[];
export type ExportType = GgufType;

export interface ExportOptions extends Evidence {
  readonly to: ExportFormat;
  /** Type of the matrices. @defaultValue as the checkpoint stores them */
  readonly type?: ExportType;
  /** A folder; for `gguf` a file. */
  readonly out: string;
  /** Keep every layer and zero the output projections of dropped modules: what any engine runs, without savings. */
  readonly zero?: boolean;
  /** Replace a file, or a model folder that holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
  /** Dropped besides what the checkpoint has dropped and what the model skips. */
  readonly drops?: Partial<Drops>;
  /** Engine that runs the check. @defaultValue the model's engine, or a new one of `backend` */
  readonly engine?: Engine;
  readonly backend?: BackendChoice;
  readonly threads?: number;
  readonly onProgress?: Progress;
}

/** The types that a Hugging Face folder can hold. */
export const floatTypes: Readonly<Partial<Record<ExportType, WeightDType>>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
};

/** The paths that an export writes: a folder, or a GGUF file and its card. */
export function exportOutputs({
  to,
  out,
  overwrite = false,
}: Pick<ExportOptions, 'out' | 'overwrite' | 'to'>): Output[] {
  if (to !== 'gguf') return [{ path: out, kind: 'folder', overwrite }];
  if (extname(out) !== '.gguf')
    throw new UserError(`${out} is no name of a GGUF file`, { hint: 'it must end in .gguf' });
  const file = { kind: 'file', placed: true } as const;
  return [
    { ...file, path: out, overwrite },
    { ...file, path: cardBeside(out), overwrite: overwrite && 'own card' },
  ];
}

/** `model.gguf` -> `model.md` */
export const cardBeside = (out: string): string => `${out.slice(0, -extname(out).length)}.md`;

/** Refuses what a format cannot hold. */
export function checkExport(options: ExportOptions): void {
  checkOptions(options, {
    to: oneOf(exportFormats),
    type: oneOf(exportTypes),
    out: text,
    zero: flag,
    overwrite: flag,
    threads: engineOptions.threads,
  });
  const { to, type, zero } = options;
  if (to === 'llm-drop' && (type !== undefined || zero))
    throw new UserError('the llm-drop format holds the weights as they are, so it takes neither a type nor zeroing', {
      hint: 'hf, gguf and vllm do',
    });
  if (to !== 'gguf' && type !== undefined && !floatTypes[type])
    throw new UserError(`type ${type} is one of GGUF, but ${to} is not`, {
      hint: `${to} takes ${Object.keys(floatTypes).join(', ')}`,
    });
}

/** How the blocks of a GGUF file are read for an export: those that get another type are rounded once. */
export const blocksFor = ({ type }: Pick<ExportOptions, 'type'>): Blocks =>
  type === undefined ? 'integers' : 'float32';
