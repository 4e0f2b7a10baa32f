"""Tasks of lm_eval that read files of this disk instead of the hub: their prompts are the stock tasks' own.

usage: local_tasks.py DATA OUT     then: lm_eval --include_path OUT --tasks local_arc_easy ...
"""

import pathlib
import sys


def write_tasks(data: pathlib.Path, out: pathlib.Path) -> list[str]:
    """Writes each of tasks/*.yaml to `out`, with the folder of the data in place of DATA. Returns the tasks' names."""
    out.mkdir(parents=True, exist_ok=True)
    templates = sorted((pathlib.Path(__file__).parent / "tasks").glob("*.yaml"))
    for template in templates:
        (out / template.name).write_text(template.read_text().replace("DATA", str(data.resolve())))
    return [template.stem for template in templates]


if __name__ == "__main__":
    print(" ".join(write_tasks(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))))
