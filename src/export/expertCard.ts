/** What a model card says of experts that were dropped. */
import { UserError } from '../engine/index.js';
import type { DropRecord } from '../drop/index.js';
import { numbersOf } from './reportNumbers.js';

type Report = Partial<Pick<DropRecord, 'experts' | 'metric'>>;

/** The part of a drop's report that is of experts, where it has one. */
export function expertsOf(report: object, where: string): Report {
  const { experts, metric } = report as Record<string, unknown>;
  const counts = numbersOf(experts, ['before', 'after'], `experts of ${where}`);
  if (!counts) return {};
  const { drop } = experts as { drop?: unknown };
  const isLayer = (gone: unknown): boolean => gone === null || (Array.isArray(gone) && gone.every(Number.isInteger));
  if (!Array.isArray(drop) || !drop.every(isLayer))
    throw new UserError(`experts of ${where} holds no list drop with the experts of each layer`);
  return { experts: { ...counts, drop }, metric: typeof metric === 'string' ? metric : null };
}

/** `2 of 8 experts a layer`, where any went. */
export const expertWords = ({ experts }: Report = {}): string[] =>
  experts ? [`${experts.before - experts.after} of ${experts.before} experts a layer`] : [];

export function expertSection({ experts }: Report = {}): string[] {
  if (!experts) return [];
  return [
    '',
    `Each mixture has ${experts.after} of its ${experts.before} experts; the router's softmax is over those that stayed.`,
    '',
    '| layer | experts that went, by their numbers before |',
    '|--:|---|',
    ...experts.drop.flatMap((gone, layer) => (gone ? [`| ${layer} | ${gone.join(', ')} |`] : [])),
  ];
}

/** The command that drops as many. */
export const expertCommand = (model: string, { experts, metric }: Report): string | undefined =>
  experts &&
  `llm-drop drop ${model} --target expert --count ${experts.before - experts.after}${metric ? ` --metric ${metric}` : ''} --calibration TEXT`;
