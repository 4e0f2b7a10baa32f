/** The part of the JavaScript API for WebAssembly that kernels need; the compiler's own types for it come with a browser's. */
export interface WasmMemory {
  /** Another after a growth. */
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

/** All that 32-bit addresses reach but the last page, so that the end of a block is never address 0 again. */
export const mostPages = 65535;

export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

interface WebAssemblyApi {
  readonly Memory: new (limits: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  validate(bytes: Uint8Array): boolean;
  readonly Instance: new (
    module: WasmModule,
    imports: Record<string, Record<string, unknown>>,
  ) => { readonly exports: Record<string, unknown> };
}

export const webAssembly = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;
