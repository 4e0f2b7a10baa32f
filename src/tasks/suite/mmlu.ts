import { stripped } from '../../text/index.js';
import type { Task, TaskGroup } from '../task.js';

const letters = ['A', 'B', 'C', 'D'];

/** MMLU (Hendrycks et al., 2021): questions of exams in 57 subjects. The answer is the letter of a choice. */
const subject = (name: string): Task => ({
  name: `mmlu_${name}`,
  title: name,
  version: 1,
  dataset: 'cais/mmlu',
  folder: 'mmlu',
  part: name,
  splits: { asked: 'test', examples: 'dev' },
  examples: 'first',
  description: `The following are multiple choice questions (with answers) about ${name.replaceAll('_', ' ')}.\n\n`,
  scoring: { kind: 'choice', metrics: ['acc'] },
  question: (row) => {
    const choices = row.has('choices') ? row.texts('choices') : letters.map((_, i) => row.text(`choice${i}`));
    const listed = letters.map((letter, i) => `${letter}. ${choices[i]}`).join('\n');
    return {
      prompt: `${stripped(row.text('question'))}\n${listed}\nAnswer:`,
      answer: letters,
      gold: row.index('answer', letters.length),
    };
  },
});

const subjects = {
  stem: [
    'abstract_algebra',
    'anatomy',
    'astronomy',
    'college_biology',
    'college_chemistry',
    'college_computer_science',
    'college_mathematics',
    'college_physics',
    'computer_security',
    'conceptual_physics',
    'electrical_engineering',
    'elementary_mathematics',
    'high_school_biology',
    'high_school_chemistry',
    'high_school_computer_science',
    'high_school_mathematics',
    'high_school_physics',
    'high_school_statistics',
    'machine_learning',
  ],
  other: [
    'business_ethics',
    'clinical_knowledge',
    'college_medicine',
    'global_facts',
    'human_aging',
    'management',
    'marketing',
    'medical_genetics',
    'miscellaneous',
    'nutrition',
    'professional_accounting',
    'professional_medicine',
    'virology',
  ],
  social_sciences: [
    'econometrics',
    'high_school_geography',
    'high_school_government_and_politics',
    'high_school_macroeconomics',
    'high_school_microeconomics',
    'high_school_psychology',
    'human_sexuality',
    'professional_psychology',
    'public_relations',
    'security_studies',
    'sociology',
    'us_foreign_policy',
  ],
  humanities: [
    'formal_logic',
    'high_school_european_history',
    'high_school_us_history',
    'high_school_world_history',
    'international_law',
    'jurisprudence',
    'logical_fallacies',
    'moral_disputes',
    'moral_scenarios',
    'philosophy',
    'prehistory',
    'professional_law',
    'world_religions',
  ],
} as const;

export const mmluSubjects: readonly Task[] = Object.values(subjects).flat().map(subject);

const areas = Object.entries(subjects).map(([area, names]): TaskGroup => ({
  name: `mmlu_${area}`,
  title: area.replaceAll('_', ' '),
  version: 2,
  members: names.map((name) => `mmlu_${name}`),
}));

export const mmluGroups: readonly TaskGroup[] = [
  { name: 'mmlu', version: 2, members: areas.map(({ name }) => name) },
  ...areas,
];
