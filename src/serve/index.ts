/** A model behind OpenAI's HTTP API, and the scheduler that runs many texts at the same time. */
export { ClosingError, QueueFullError, Scheduler, type SchedulerOptions, type StepRecord } from './scheduler.js';
export type { ChosenToken, SequenceRequest, SequenceResult } from './sequence.js';
export { openRequestLog, type RequestLog } from './requestLog.js';
export type { RequestRecord, ServerOptions } from './server.js';
export { droppedByAll, serveModel, type ModelServer, type ServeOptions } from './serveModel.js';
export type { RankedToken, TokenScore } from './tokenScores.js';
export type { Served, Variant } from './variant.js';
