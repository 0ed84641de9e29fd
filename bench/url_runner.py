"""Fetch one URL by the Python API and print what it took: `python -m bench.url_runner URL FOLDER NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from shoal.fetch.download import download
from shoal.fetch.progress import Downloaded, Wanted


def main(url: str, folder: str, name: str) -> None:
    async def run() -> None:
        done = await download(Wanted((url,), Path(folder), name, overwrite=True))
        assert isinstance(done, Downloaded)
        print(
            f"{done.path} {done.seconds:.3f} s {done.received} bytes, {done.sources}, verified: {done.verified}"
        )

    uvloop.run(run())


if __name__ == "__main__":
    main(*sys.argv[1:])
