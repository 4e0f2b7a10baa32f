/** What stands left of evaluate in ARCHITECTURE.md. */
const base = ['engine', 'checkpoint', 'models', 'text', 'linalg', 'progress', 'walk'];

// Folder arrows go one way (ARCHITECTURE.md): a folder imports itself and what stands in its row, nothing else.
const mayImport = {
  engine: [],
  checkpoint: ['engine'],
  models: ['engine', 'checkpoint'],
  hub: ['engine', 'checkpoint'],
  text: ['engine', 'checkpoint', 'models'],
  linalg: [],
  progress: ['engine', 'checkpoint', 'models', 'text'],
  walk: ['engine', 'checkpoint', 'models', 'progress'],
  evaluate: base,
  tasks: [...base, 'evaluate'],
  drop: [...base, 'evaluate'],
  quant: [...base, 'evaluate'],
  bench: [...base, 'evaluate', 'drop'],
  export: [...base, 'evaluate', 'drop', 'quant'],
  jobs: [...base, 'hub', 'evaluate', 'tasks', 'drop', 'quant', 'export'],
  compress: [...base, 'evaluate', 'drop', 'quant', 'export', 'jobs'],
  serve: ['engine', 'checkpoint', 'models'],
  play: ['engine', 'checkpoint'],
  report: [...base, 'evaluate', 'drop', 'quant', 'export', 'jobs'],
  testing: ['engine', 'checkpoint', 'models', 'drop'],
  cli: [
    ...base,
    'evaluate',
    'tasks',
    'drop',
    'quant',
    'export',
    'serve',
    'play',
    'report',
    'bench',
    'jobs',
    'compress',
    'index.ts',
  ],
};

// The same within the backends of WebAssembly and of WebGPU, whose own files may import all of these.
const backendMayImport = {
  compiler: [],
  layouts: [],
  kernels: ['compiler', 'layouts'],
  runtime: ['compiler', 'layouts', 'kernels'],
  operations: ['compiler', 'layouts', 'kernels', 'runtime'],
};

const folders = Object.keys(mayImport);
const ofBackends = ['wasm', 'webgpu'].flatMap((backend) =>
  Object.keys(backendMayImport).map((folder) => ({ backend, folder })),
);

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...folders.map((folder) => ({
      name: `${folder}-imports`,
      comment: `src/${folder} may import ${mayImport[folder].join(', ') || 'nothing'} of src beside itself`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: '^src/', pathNot: `^src/(${[folder, ...mayImport[folder]].join('|')})(/|$)` },
    })),
    ...ofBackends.map(({ backend, folder }) => ({
      name: `${backend}-${folder}-imports`,
      comment: `${backend}/${folder} may import ${backendMayImport[folder].join(', ') || 'nothing'} of ${backend} beside itself`,
      severity: 'error',
      from: { path: `^src/engine/${backend}/${folder}/` },
      to: {
        path: `^src/engine/${backend}/`,
        pathNot: `^src/engine/${backend}/(${[folder, ...backendMayImport[folder]].join('|')})/`,
      },
    })),
    {
      name: 'known-folders',
      comment: `src holds index.ts, browser.ts and the folders of ARCHITECTURE.md: ${folders.join(', ')}`,
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/((index|browser)\\.ts$|(${folders.join('|')})/)` },
      to: {},
    },
    {
      name: 'known-folders-alone',
      comment: 'the same for a file that nothing imports and that imports nothing',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: `^src/((index|browser)\\.ts$|(${folders.join('|')})/)` },
      to: {},
    },
    {
      name: 'no-folder-of-leftovers',
      comment: 'files are nouns of the field; utils, helpers, common and misc name nothing',
      severity: 'error',
      from: {},
      to: { path: '/(utils?|helpers?|common|misc|managers?)(/|[.]ts$)' },
    },
    {
      name: 'no-cycles',
      comment: 'files import each other in one direction, types included',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'backends-apart',
      comment: "a backend never calls another one's kernels",
      severity: 'error',
      from: { path: '^src/engine/(reference|wasm|tfjs|webgpu)/' },
      to: { path: '^src/engine/(reference|wasm|tfjs|webgpu)/', pathNot: '^src/engine/$1/' },
    },
    {
      name: 'backends-behind-the-engine',
      comment: 'a backend is reached through createEngine alone',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engine/' },
      to: { path: '^src/engine/(wasm|tfjs|webgpu)/' },
    },
    {
      name: 'host-behind-its-interface',
      comment:
        'what runs in browsers too asks engine/host.ts for what it needs of where it runs; hosts/node.ts asks Node',
      severity: 'error',
      from: {
        path: '^src/(engine|models|walk|evaluate)/',
        pathNot: '^src/(engine/hosts/|walk/diskStates\\.ts$)',
      },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'host-chosen-once',
      comment: 'hosts/index.ts alone says which host it is, so that a build for another place replaces one file',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engine/hosts/index\\.ts$' },
      to: { path: '^src/engine/hosts/', pathNot: '^src/engine/hosts/index\\.ts$' },
    },
    {
      name: 'not-found',
      comment: 'an import that leads nowhere',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^@tensorflow/' },
    },
    {
      name: 'dependencies-declared',
      comment: 'what is published imports its dependencies, and its optional peers where they are asked for',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['npm-peer', 'type-only'],
        pathNot: '@tensorflow/',
      },
    },
    {
      name: 'fast-check-in-testing',
      comment: 'fast-check is an optional peer: llm-drop works without it',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: { path: 'node_modules/fast-check/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.build.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
