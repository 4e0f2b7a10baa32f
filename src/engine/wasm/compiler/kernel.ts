/** Statements of a kernel, and modules of kernels. */
import { ModuleWriter, type Code, type MemoryImport } from './assembler.js';
import { coerce, typeOf, Value, type Arg, type Int, type Kind, type Scalar } from './language.js';
import type { MemoryOp } from './opcodes.js';
import { mostPages } from './webAssembly.js';

/** A local: a value that can be set. */
export class Variable<K extends Kind> extends Value<K> {
  constructor(
    kind: K,
    private readonly code: Code,
    private readonly index: number,
  ) {
    super(kind, (at) => at.get(index));
  }

  set(value: Arg<K>): void {
    coerce(value, this.kind).emit(this.code);
    this.code.set(this.index);
  }

  add(value: Arg<K>): void {
    this.set(this.plus(value));
  }
}

export type Parameters = Readonly<Record<string, Scalar>>;
type Arguments<P extends Parameters> = { readonly [N in keyof P]: Arg<P[N]> };
/** A kernel's parameters in its body. */
export type Locals<P extends Parameters> = { readonly [N in keyof P]: Variable<P[N]> };

/** A function of a module, to call from another of its kernels or, where it is exported, from outside. */
export interface KernelFunction<P extends Parameters> {
  readonly index: number;
  readonly parameters: P;
}

/** The body of one function, written statement by statement. */
export class Kernel {
  constructor(private readonly code: Code) {}

  /** A new local holding `value`. */
  let<K extends Kind>(value: Value<K>): Variable<K> {
    const variable = new Variable(value.kind, this.code, this.code.local(typeOf(value.kind)));
    variable.set(value);
    return variable;
  }

  /** Computes `value` for its side effect, and drops the result. */
  do(value: Value<Kind>): void {
    value.emit(this.code);
    this.code.op('drop');
  }

  store(address: Int, value: Value<Kind>, offset = 0): void {
    this.#write(
      typeOf(value.kind) === 'v128' ? 'v128.store' : (`${value.kind}.store` as MemoryOp),
      address,
      value,
      offset,
    );
  }

  /** The low 16 bits. */
  store16(address: Int, value: Int, offset = 0): void {
    this.#write('i32.store16', address, value, offset);
  }

  #write(op: MemoryOp, address: Int, value: Value<Kind>, offset: number): void {
    address.emit(this.code);
    value.emit(this.code);
    this.code.memory(op, offset);
  }

  if(condition: Int, then: () => void, otherwise?: () => void): void {
    condition.emit(this.code);
    this.code.open('if');
    then();
    if (otherwise) {
      this.code.otherwise();
      otherwise();
    }
    this.code.end();
  }

  while(condition: () => Int, body: () => void): void {
    this.if(condition(), () => {
      this.code.open('loop');
      const depth = this.code.depth;
      body();
      condition().emit(this.code);
      this.code.branchIf(this.code.depth - depth);
      this.code.end();
    });
  }

  /** `body` for from, from + step, ... below `to`. */
  for(from: Arg<'i32'>, to: Arg<'i32'>, step: Arg<'i32'>, body: (index: Int) => void): void {
    const index = this.let(coerce(from, 'i32'));
    this.while(
      () => index.less(to),
      () => {
        body(index);
        index.add(step);
      },
    );
  }

  /** `body`, `count` times. */
  repeat(count: Int, body: () => void): void {
    const left = this.let(count);
    this.while(
      () => left.differs(0),
      () => {
        body();
        left.set(left.minus(1));
      },
    );
  }

  /** Ends the call with a trap, which JavaScript sees as an exception. */
  fail(): void {
    this.code.op('unreachable');
  }

  call<P extends Parameters>(callee: KernelFunction<P>, values: Arguments<P>): void {
    for (const [name, kind] of Object.entries(callee.parameters))
      coerce(values[name] as Arg<Scalar>, kind).emit(this.code);
    this.code.call(callee.index);
  }
}

/** Declares the functions of a module. */
export class ModuleScope {
  readonly writer = new ModuleWriter();

  /** A function of another module, as `kernel.[name]`; before any of this one. */
  import<P extends Parameters>(name: string, parameters: P): KernelFunction<P> {
    return { index: this.writer.import('kernel', name, Object.values(parameters)), parameters };
  }

  /** A function for other kernels of the module. */
  function<P extends Parameters>(
    parameters: P,
    emit: (k: Kernel, p: Locals<P>) => void,
    exportName?: string,
  ): KernelFunction<P> {
    const names = Object.keys(parameters);
    const { index, code } = this.writer.function(
      names.map((name) => parameters[name]),
      exportName,
    );
    const locals = Object.fromEntries(names.map((name, at) => [name, new Variable(parameters[name], code, at)]));
    emit(new Kernel(code), locals as unknown as Locals<P>);
    return { index, parameters };
  }
}

type Exports = Readonly<Record<string, Definition<Parameters>>>;

export interface Definition<P extends Parameters> {
  readonly parameters: P;
  // Method syntax: a definition with more parameters is still a definition.
  emit(k: Kernel, p: Locals<P>): void;
}

/** An exported kernel: its parameters (pointers are i32, in bytes) and its body. */
export const kernel = <P extends Parameters>(
  parameters: P,
  emit: (k: Kernel, p: Locals<P>) => void,
): Definition<P> => ({ parameters, emit });

/** A module's kernels as functions of named numbers. */
export type Launch<E> = {
  readonly [N in keyof E]: E[N] extends { parameters: infer P }
    ? (values: { readonly [A in keyof P]: number }) => void
    : never;
};

/** Kernels that are compiled together. */
export interface KernelModule<E = unknown> {
  readonly name: string;
  /** Never set: it only carries the type. */
  readonly exports?: E;
  readonly emit: (memory?: MemoryImport) => {
    bytes: Uint8Array;
    parameters: Readonly<Record<string, Parameters>>;
  };
}

/** A module in two versions: where a product and a sum may be one instruction, and where they may not. */
export interface FusibleModule<E = unknown> {
  readonly fused: KernelModule<E>;
  readonly strict: KernelModule<E>;
}

export const fusibleModule = <E extends Exports>(name: string, define: (fused: boolean) => E): FusibleModule<E> => ({
  fused: kernelModule(name, () => define(true)),
  strict: kernelModule(name, () => define(false)),
});

const sharedMemory: MemoryImport = { minimumPages: 1, maximumPages: mostPages, shared: true };

export function kernelModule<E extends Exports>(name: string, define: (scope: ModuleScope) => E): KernelModule<E> {
  return {
    name,
    emit: (memory = sharedMemory) => {
      const scope = new ModuleScope();
      const parameters: Record<string, Parameters> = {};
      for (const [exportName, definition] of Object.entries(define(scope))) {
        scope.function(definition.parameters, (k, p) => definition.emit(k, p), exportName);
        parameters[exportName] = definition.parameters;
      }
      return { bytes: scope.writer.encode(memory), parameters };
    },
  };
}
