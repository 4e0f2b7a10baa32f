/** The tasks that language models are measured by, as lm-evaluation-harness has them. */
export { bootstrapPerplexityError } from './bootstrap.js';
export { chosenTasks, taskNames, type ChosenTasks } from './chosenTasks.js';
export { askedQuestions, exampleSeed, type Asked } from './fewShot.js';
export { generations, type GenerationOptions } from './generations.js';
export { logLikelihoods, type LogLikelihood, type LogLikelihoodOptions } from './logLikelihoods.js';
export { type Answer, type Measured } from './metrics.js';
export { pairedResults, type PairedMetric, type PairedResults } from './paired.js';
export { presetNames, presets, type PresetName, type PresetTask } from './preset.js';
export { PythonRandom } from './pythonRandom.js';
export { textRequests, type TextRequest, type TokenRequest } from './requests.js';
export { leaves, taskResults, type Metrics, type Sample, type TaskResults, type TaskRun } from './results.js';
export { groups, tasks } from './suite/index.js';
export { type Question, type Scoring, type Split, type Task, type TaskGroup } from './task.js';
export { taskRows, type TaskRows } from './taskRows.js';
export { answersOf, samplesOf, taskTokens, type RunTaskOptions, type TaskTokens } from './taskRunner.js';
