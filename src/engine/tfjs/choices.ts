export interface Choice {
  readonly registered: string;
  /** Alternatives, each a list of packages: all are imported, and the first exports the functions. */
  readonly packages: readonly (readonly string[])[];
}

const functions = '@tensorflow/tfjs-core';
const union = '@tensorflow/tfjs';
const wasm = '@tensorflow/tfjs-backend-wasm';

/** Each TensorFlow.js there may be, by its name as a choice. Where none is asked for, the first that is installed is taken. */
export const choices = {
  'node-gpu': { registered: 'tensorflow', packages: [['@tensorflow/tfjs-node-gpu']] },
  node: { registered: 'tensorflow', packages: [['@tensorflow/tfjs-node']] },
  wasm: {
    registered: 'wasm',
    packages: [
      [functions, wasm],
      [union, wasm],
    ],
  },
  cpu: { registered: 'cpu', packages: [[functions, '@tensorflow/tfjs-backend-cpu'], [union]] },
} as const satisfies Readonly<Record<string, Choice>>;

export type TfjsChoice = keyof typeof choices;

export const tfjsChoices = Object.keys(choices) as TfjsChoice[];

/** All packages that may be of use. */
export const tfjsPackages: readonly string[] = [
  ...new Set(Object.values(choices).flatMap(({ packages }): readonly string[] => packages.flat())),
];
