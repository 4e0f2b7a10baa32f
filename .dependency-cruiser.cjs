// Folder arrows go one way (ARCHITECTURE.md): a folder imports itself and what stands in its row, nothing else.
const mayImport = {
  engine: [],
  checkpoint: ['engine'],
  models: ['engine', 'checkpoint'],
  calibrate: ['engine', 'checkpoint', 'models'],
  evaluate: ['engine', 'checkpoint', 'models', 'calibrate'],
  drop: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate'],
  quant: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate'],
  bench: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop'],
  export: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop', 'quant'],
  jobs: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop', 'quant', 'export'],
  compress: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop', 'quant', 'export', 'jobs'],
  serve: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop', 'quant', 'export', 'jobs'],
  report: ['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop', 'quant', 'export', 'jobs'],
  testing: ['engine', 'checkpoint', 'models', 'drop'],
  cli: [
    ...['engine', 'checkpoint', 'models', 'calibrate', 'evaluate', 'drop', 'quant', 'export', 'serve', 'report'],
    ...['bench', 'jobs', 'compress', 'index.ts'],
  ],
};

const folders = Object.keys(mayImport);

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
    {
      name: 'known-folders',
      comment: `src holds index.ts and the folders of ARCHITECTURE.md: ${folders.join(', ')}`,
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/(index\\.ts$|(${folders.join('|')})/)` },
      to: {},
    },
    {
      name: 'known-folders-alone',
      comment: 'the same for a file that nothing imports and that imports nothing',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: `^src/(index\\.ts$|(${folders.join('|')})/)` },
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
      from: { path: '^src/engine/(reference|wasm|tfjs)/' },
      to: { path: '^src/engine/(reference|wasm|tfjs)/', pathNot: '^src/engine/$1/' },
    },
    {
      name: 'backends-behind-the-engine',
      comment: 'a backend is reached through createEngine alone',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engine/' },
      to: { path: '^src/engine/(wasm|tfjs)/' },
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
