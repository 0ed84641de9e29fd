"""Fuzz one target: `python tests/fuzz/run.py TARGET [atheris arguments]`, such as `-max_total_time=60`.

Inputs that reach new code are added to `corpus/TARGET/`, where the ordinary tests replay them; commit the few
that matter. One that breaks a promise is written there too, as `found-...`, and its path is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
MAX_INPUT_LENGTH = 4096  # what is wrong with a long input is wrong with a short one, found sooner


def main(arguments: list[str]) -> int:
    try:
        import atheris
    except ImportError:
        print("atheris is not installed: pip install atheris", file=sys.stderr)
        return 2
    root = FOLDER.parent.parent
    sys.path[:0] = [str(root), str(root / "src")]
    with atheris.instrument_imports(include=["shoal"]):
        from tests.fuzz.every_target import TARGETS
    if not arguments or arguments[0] not in TARGETS:
        print(f"usage: python {sys.argv[0]} {{{','.join(TARGETS)}}} [atheris arguments]", file=sys.stderr)
        return 2
    target, *rest = arguments
    corpus = FOLDER / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(argument.startswith("-artifact_prefix=") for argument in rest):
        rest.append(f"-artifact_prefix={corpus}/found-")
    if not any(argument.startswith("-max_len=") for argument in rest):
        rest.append(f"-max_len={MAX_INPUT_LENGTH}")
    print(f"fuzzing {target}; new inputs and finds go to {corpus}")
    atheris.Setup([sys.argv[0], *rest, str(corpus)], TARGETS[target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
