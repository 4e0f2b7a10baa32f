/**
 * Kernels in WGSL (https://www.w3.org/TR/WGSL). A kernel declares its buffers and numbers and says what one workgroup
 * does; what every shader repeats (bindings, the struct of numbers, the entry point) is written here. In its body
 * `group` is the workgroup's index, `lane` the invocation's within it, and each number a value of its name.
 */
export type NumberType = 'u32' | 'i32' | 'f32';

/** Functions and workgroup variables that a kernel's body calls: a fold over lanes, a weight's elements. */
export interface Piece {
  /** Variables that the lanes of a workgroup share, with their types. */
  readonly shared?: Readonly<Record<string, string>>;
  readonly code?: string;
  /** Extensions of the language: with 'subgroups', the code finds their size in `subgroupLanes`. */
  readonly enables?: readonly string[];
}

export interface KernelSpec<R extends string, W extends string, N extends string> {
  /** Buffers that are read, and the type of an element. */
  readonly reads?: Readonly<Record<R, string>>;
  /** Buffers that are written, or read and written. */
  readonly writes: Readonly<Record<W, string>>;
  readonly numbers?: Readonly<Record<N, NumberType>>;
  /** Invocations of a workgroup. */
  readonly lanes: number;
  readonly pieces?: readonly Piece[];
}

export interface Kernel<B extends string = string, N extends string = string> {
  readonly name: string;
  /** In the order of their bindings, from 1 on. */
  readonly buffers: readonly { readonly name: B; readonly written: boolean }[];
  /** In the order in which they lie in binding 0, after the number of workgroups. */
  readonly numbers: readonly { readonly name: N; readonly type: NumberType }[];
  readonly code: string;
}

export function kernel<W extends string, R extends string = never, N extends string = never>(
  name: string,
  { reads, writes, numbers, lanes, pieces = [] }: KernelSpec<R, W, N>,
  body: string,
): Kernel<R | W, N> {
  const entries = <K extends string>(of?: Readonly<Record<K, string>>): [K, string][] =>
    Object.entries(of ?? {}) as [K, string][];
  const values = entries(numbers) as [N, NumberType][];
  const buffers = [
    ...entries(reads).map(([buffer, type]) => ({ name: buffer, type, written: false })),
    ...entries(writes).map(([buffer, type]) => ({ name: buffer, type, written: true })),
  ];
  // A subgroup's size is known to the entry point alone.
  const enables = new Set(pieces.flatMap((piece) => piece.enables ?? []));
  const bySubgroups = enables.has('subgroups');
  const code = [
    ...[...enables].map((feature) => `enable ${feature};`),
    `struct Numbers { groups: u32, ${values.map(([n, type]) => `${n}: ${type}, `).join('')}}`,
    '@group(0) @binding(0) var<uniform> numbers: Numbers;',
    ...buffers.map(
      ({ name: buffer, type, written }, i) =>
        `@group(0) @binding(${i + 1}) var<storage, ${written ? 'read_write' : 'read'}> ${buffer}: array<${type}>;`,
    ),
    ...pieces.flatMap(({ shared }) => entries(shared).map(([v, type]) => `var<workgroup> ${v}: ${type};`)),
    ...pieces.flatMap((piece) => piece.code ?? []),
    ...(bySubgroups ? ['var<private> subgroupLanes: u32;'] : []),
    `@compute @workgroup_size(${lanes})`,
    `fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u, @builtin(local_invocation_index) lane: u32${bySubgroups ? ', @builtin(subgroup_size) lanesOfSubgroup: u32' : ''}) {`,
    ...(bySubgroups ? ['subgroupLanes = lanesOfSubgroup;'] : []),
    'let group = workgroup.x + workgroup.y * workgroups.x;',
    'if (group >= numbers.groups) { return; }',
    ...values.map(([n]) => `let ${n} = numbers.${n};`),
    body,
    '}',
  ].join('\n');
  return {
    name,
    buffers: buffers.map(({ name: buffer, written }) => ({ name: buffer, written })),
    numbers: values.map(([n, type]) => ({ name: n, type })),
    code,
  };
}

/** A kernel that computes `count` elements, each by itself: `i` is its index. */
export function elementwise<W extends string, R extends string = never, N extends string = never>(
  name: string,
  spec: Omit<KernelSpec<R, W, N>, 'lanes'>,
  body: string,
): Kernel<R | W, N | 'count'> {
  return kernel<W, R, N | 'count'>(
    name,
    { ...spec, numbers: { ...spec.numbers, count: 'u32' } as Record<N | 'count', NumberType>, lanes: elementLanes },
    `let i = group * ${elementLanes}u + lane;\nif (i < count) {\n${body}\n}`,
  );
}

/** Elements that a workgroup of an elementwise kernel computes. */
export const elementLanes = 64;

/** A number as a literal: WGSL has no other constants than finite ones of float32. */
export function literal(value: number): string {
  const rounded = Math.fround(value);
  return `f32(${Number.isInteger(rounded) && Math.abs(rounded) < 1e15 ? `${rounded}.0` : rounded})`;
}
