/** Models that a visitor drags in or chooses: a folder, or GGUF files. They stay in the browser. */
import { element } from './page.js';
import type { ModelPlace } from './protocol.js';

export function onGivenFiles(open: (place: ModelPlace) => void): void {
  for (const id of ['folder', 'gguf']) {
    const input = element(id, HTMLInputElement);
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])].map((file) => [file.webkitRelativePath || file.name, file] as const);
      if (files.length) open(placeOf(files));
      input.value = '';
    });
  }
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dragging');
  });
  for (const end of ['dragleave', 'drop']) addEventListener(end, () => document.body.classList.remove('dragging'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    const entries = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
    void Promise.all(entries.map(filesOf)).then((files) => files.flat().length && open(placeOf(files.flat())));
  });
}

type Given = readonly [path: string, file: File];

/** By their paths within the one folder that holds them all, if there is one. */
function placeOf(given: readonly Given[]): ModelPlace {
  const folder = /^([^/]+)\//.exec(given[0][0])?.[1];
  const isFolder = folder !== undefined && given.every(([path]) => path.startsWith(`${folder}/`));
  const within = isFolder ? folder.length + 1 : 0;
  const files = new Map(given.map(([path, file]) => [path.slice(within), file]));
  return { name: isFolder ? folder : given[0][1].name.replace(/\.gguf$/i, ''), files };
}

async function filesOf(entry: FileSystemEntry): Promise<Given[]> {
  const path = entry.fullPath.slice(1);
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [[path, file]];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const all: FileSystemEntry[] = [];
  // A reader gives a hundred at a time.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    all.push(...some);
  }
  return (await Promise.all(all.map(filesOf))).flat();
}
