/**
 * llm-drop in a browser: models from files of the page, from URLs or from the origin's private file system, generating,
 * scoring, dropping by scores and measuring, on an engine that lives in a worker of the page. Bundlers take it for
 * `llm-drop` where they build for browsers. Docs: docs/browser.md
 */
export {
  Engine,
  NotFiniteError,
  ShapeError,
  Tensor,
  UnsupportedOpError,
  UserError,
  backendNames,
  createBatch,
  createEngine,
  type BackendName,
  type Batch,
  type EngineOptions,
} from './engine/index.js';
export { holdFiles } from './checkpoint/files/heldFiles.js';
export { loadTokenizer, type ChatMessage, type ModelSource, type Tokenizer } from './checkpoint/reading.js';
export {
  LoadedModel,
  Model,
  TokenCache,
  chatTurn,
  createModel,
  createSampler,
  describeConfig,
  describeModel,
  generate,
  generateText,
  loadModel,
  memoryNeeds,
  modelSize,
  modelTypes,
  modulesOf,
  openModel,
  type ChatTurnOptions,
  type Drops,
  type GenerateOptions,
  type GenerateTextOptions,
  type GeneratedText,
  type Generation,
  type LoadOptions,
  type ModelConfig,
  type ModelDescription,
  type ModelSize,
  type ModuleKind,
  type Observer,
  type OpenedModel,
  type PartialConfig,
  type SamplingOptions,
} from './models/index.js';
export { walkRows, type WalkOptions } from './walk/index.js';
export { computeLogits, decodeSpeed, evaluateLoss, pairedDifference, type LossResult } from './evaluate/index.js';
export { gateNormImportance, gateNormScores } from './drop/gateNorm.js';
export { importanceOf, type Importance, type Scores } from './drop/importance.js';
export { angular, cosine, metrics, relativeNorm, type Metric } from './drop/metric.js';
export { scoreImportance, type ScoreOptions } from './drop/scoreImportance.js';
export { selectDrops, targets, type Constraints, type Target } from './drop/select.js';
