"""nginx as the real origin: plain, slow, silent on the version, behind a password; TLS, HTTP/2 and a CA of our own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from ..peers.processes import Pen, free_port
from ..peers.programs import require

HOST = "127.0.0.1"
USER, PASSWORD = "reader", "pass word"
PATIENCE, POLL_EVERY = 60.0, 0.01  # seconds
SLOW_RATE = 1_000_000  # bytes a second of each response under /slow/

_marks = itertools.count()
_CONF = """
worker_processes 1;
pid nginx.pid;
daemon off;
{user}
events {{}}
http {{
    log_format all '$connection $status $server_protocol $request "$http_range" $body_bytes_sent';
    access_log access.log all;
    client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
    sendfile on;
    root files;
    server {{
        listen {host}:{port};
        listen {host}:{tls_port} ssl http2;
        ssl_certificate server.pem;
        ssl_certificate_key server.key;
        location /slow/ {{ alias files/; limit_rate {slow}; }}
        location /mute/ {{
            alias files/; limit_rate {slow};
            etag off; if_modified_since off; add_header Last-Modified "";
        }}
        location /closed/ {{ alias files/; auth_basic closed; auth_basic_user_file users; }}
        location /one/ {{ alias files/; max_ranges 0; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    files: Path
    ca: Path
    url: str
    tls_url: str
    log: Path

    def asked(self) -> list[str]:
        """The lines of its log on all that was answered before this. It writes each a moment after its answer."""
        mark = f"/mark-{next(_marks)}"
        with suppress(HTTPError):  # there is no such file
            urlopen(self.url + mark, timeout=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while f" {mark} " not in (text := self.log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(POLL_EVERY)
        return [line for line in text.splitlines() if " /mark-" not in line]


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Started in `folder`; the test is skipped where it is not installed."""
    program = _program("nginx")
    files = folder / "files"
    files.mkdir()
    _make_certificates(folder)
    secret = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / "users").write_text(f"{USER}:{secret}\n")
    port, tls_port = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # or it could not look into a test's folder
    conf = _CONF.format(host=HOST, port=port, tls_port=tls_port, slow=SLOW_RATE, user=user)
    (folder / "nginx.conf").write_text(conf)
    pen = Pen(folder)
    try:
        running = pen.start("nginx", [program, "-p", folder, "-c", "nginx.conf", "-e", "error.log"])
        running.wait_until((folder / "nginx.pid").exists, "pid file")
        yield Nginx(
            files,
            folder / "ca.pem",
            f"http://{HOST}:{port}",
            f"https://{HOST}:{tls_port}",
            folder / "access.log",
        )
    finally:
        pen.close()


def _program(name: str) -> str:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") or require(name)


def _make_certificates(folder: Path) -> None:
    openssl = require("openssl")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, capture_output=True, check=True)

    run(
        "req",
        "-x509",
        *key,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "2",
        "-subj",
        "/CN=a CA of our own",
    )
    run("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text(f"subjectAltName=DNS:localhost,IP:{HOST}\n")
    run(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "2", "-extfile", "names",
    )  # fmt: skip
