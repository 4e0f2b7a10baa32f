import { pullModel, type PullRecord } from '../../jobs/index.js';
import { command } from '../command.js';
import { files, text, type Option } from '../options.js';
import { facts } from '../table.js';
import { formatBytes } from '../units.js';

export const pull = command('pull', 'Download a model of the Hugging Face hub', {
  description:
    'Fetches what commands read of a model: config, tokenizer and safetensors; with --include, or a file behind the name, ' +
    'that alone. It lies in the cache that Python’s huggingface_hub uses, and what is there already is not fetched again. ' +
    'Checksums are verified. The same command line goes on with an interrupted download.\n\n' +
    'Commands take hf:ORG/NAME, hf:ORG/NAME@REVISION and hf:ORG/NAME/FILE.gguf in place of a folder: found in the cache ' +
    'they need no network, else they are pulled first. Pulling again fetches what has changed.\n\n' +
    'As for huggingface_hub: HF_TOKEN, HUGGING_FACE_HUB_TOKEN or the token of hf auth login for private and gated models; ' +
    'HF_HOME or HF_HUB_CACHE for another place; HF_ENDPOINT for another hub; HF_HUB_OFFLINE=1 to ask nothing of any.',
  argument: 'ORG/NAME, also with @REVISION or /FILE.gguf behind',
  computes: false,
  options: {
    revision: text('branch, tag or commit (default: main)', 'name'),
    include: { ...files('the files to fetch, by patterns'), value: 'pattern' } as Option<readonly string[] | undefined>,
  },
  examples: [
    ['pull HuggingFaceTB/SmolLM2-135M', 'config, tokenizer and safetensors'],
    ['pull meta-llama/Llama-3.2-1B --revision 4e20de3', 'that commit, with the access token of hf auth login'],
    ['pull bartowski/SmolLM2-135M-Instruct-GGUF --include "*Q4_K_M.gguf"', 'one GGUF file of many'],
    ['score hf:HuggingFaceTB/SmolLM2-135M --calibration c4.jsonl', 'pulled only where the cache lacks it'],
  ],
  run: async (o, ui) => {
    const { revision, include } = o;
    ui.show(await pullModel(o.model, { revision, include, ...ui.job }), describe);
  },
});

function describe({ repository, revision, commit, path, files: fetched, bytes, downloaded }: PullRecord): string[] {
  return [
    ...facts([
      ['model', repository],
      ['revision', revision === commit ? commit : `${revision}, commit ${commit}`],
      ['files', `${fetched.length}, ${formatBytes(bytes)}`],
      ['downloaded', downloaded ? formatBytes(downloaded) : 'nothing: all of it was there'],
    ]),
    '',
    path,
  ];
}
