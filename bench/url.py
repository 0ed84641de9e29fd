"""A file from nginx on loopback: ours against curl and aria2, whole processes, into memory; in one run, in turns.

`./dev bench url [--size SIZE] [--rounds N] [--limit RATE] [--tls]`. With `--limit` nginx gives each connection so many
bytes a second: what several connections are for. What arrived is compared with what was served.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.harness import (
    ROOT,
    Contender,
    Run,
    argument,
    compile_ours,
    first_line_of,
    is_there,
    machine,
    make_payload,
    memory_folder,
    run_process,
    size_in_words,
    table,
    take_turns,
)
from shoal import __version__
from shoal.units import format_rate, parse_rate, parse_size

HOST = "127.0.0.1"
NAME = "payload"
UP_WITHIN = 10.0  # seconds

_OURS = """
import sys
from pathlib import Path
import uvloop
from shoal.fetch.download import download
from shoal.fetch.progress import Wanted
url, folder, name = sys.argv[1:]
uvloop.run(download(Wanted((url,), Path(folder), name)))
"""
_CONF = """
worker_processes 1;
pid {folder}/nginx.pid;
daemon off;
{user}
error_log {folder}/error.log;
events {{}}
http {{
    log_format sent "$status $body_bytes_sent";
    access_log {folder}/access.log sent;
    sendfile on;
    client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
    uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
    server {{
        listen {host}:{port} {tls};
        root {folder}/files;
        limit_rate {limit};
    }}
}}
"""

Command = list[str | Path]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dev bench url", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--size", type=argument(parse_size), default=parse_size("1GiB"), help="of the file (1GiB)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="that count, after one that does not (5)")
    parser.add_argument("--limit", type=argument(parse_rate), default=0, help="bytes a second a connection")
    parser.add_argument("--tls", action="store_true", help="over https, with HTTP/2 where it is spoken")
    options = parser.parse_args(argv)
    compile_ours()
    with memory_folder() as folder, nginx(Path(folder), options.limit, options.tls) as url:
        payload = Path(folder) / "files" / NAME
        make_payload(payload, options.size)
        contenders = _contenders(url, Path(folder), payload)
        runs = take_turns(contenders, options.rounds)
    print(machine())
    print(
        f"shoal {__version__}; {'; '.join(first_line_of([name, '--version']) for name in ('curl', 'aria2c'))}"
    )
    each = f", {format_rate(options.limit)} a connection" if options.limit else ""
    print(f"{size_in_words(options.size)} from nginx, {'https' if options.tls else 'http'}{each}\n")
    print(table(contenders, runs, size=options.size))
    return 0


def _contenders(url: str, folder: Path, payload: Path) -> list[Contender]:
    def contender(name: str, command: Callable[[Path], Command], compared_with: str = "") -> Contender:
        return Contender(name, partial(_fetched, command, folder / "out", payload), compared_with)

    found = [
        contender("shoal", lambda out: [sys.executable, "-P", "-c", _OURS, url, out, NAME], "curl"),
        contender("curl", lambda out: ["curl", "-s", "-f", "-o", out / NAME, url]),
    ]
    if is_there("aria2c"):
        aria2: Command = ["aria2c", "--no-conf", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none"]
        certificate: Command = [f"--ca-certificate={os.environ.get('CURL_CA_BUNDLE', '')}"] * url.startswith(
            "https"
        )
        found.append(contender("aria2 -x16", lambda out: [*aria2, *certificate, "-d", out, url], "curl"))
    return found


def _fetched(command: Callable[[Path], Command], out: Path, payload: Path) -> Run:
    out.mkdir()
    try:
        run = run_process(
            [str(word) for word in command(out)], env={**os.environ, "PYTHONPATH": str(ROOT / "src")}
        )
        if not filecmp.cmp(out / NAME, payload, shallow=False):
            raise AssertionError(f"{command(out)[0]}: what arrived is not what was served")
        return run
    finally:
        shutil.rmtree(out)


@contextmanager
def nginx(folder: Path, limit: int, tls: bool) -> Iterator[str]:
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        sys.exit("absent: nginx")
    (folder / "files").mkdir()
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    conf = _CONF.format(
        folder=folder, host=HOST, port=port, limit=limit,
        user="user root;" if os.geteuid() == 0 else "",
        tls=f"ssl http2; ssl_certificate {folder}/tls.pem; ssl_certificate_key {folder}/tls.key" if tls else "",
    )  # fmt: skip
    (folder / "nginx.conf").write_text(conf)
    if tls:
        _make_certificate(folder)
        os.environ["CURL_CA_BUNDLE"] = str(folder / "tls.pem")
    server = subprocess.Popen([program, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        _wait_until_up(port)
        yield f"{'https' if tls else 'http'}://{HOST}:{port}/{NAME}"
    finally:
        server.terminate()
        server.wait()


def _make_certificate(folder: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", folder / "tls.key", "-out", folder / "tls.pem", "-days", "1", *names],
        check=True, capture_output=True,
    )  # fmt: skip


def _wait_until_up(port: int) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while True:
        try:
            socket.create_connection((HOST, port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
