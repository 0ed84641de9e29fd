"""nginx as the origin of a lab: its configuration, and what its log says of who asked for what.

The log counts what was handed to the network's buffers. Where a client breaks a response off, that is more than it
read, by what lay in the buffers of both ends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.harness import first_line_of
from lab.parts.namespaces import Command, LabError

PORT = 80
NAME = "payload.bin"
AGE = 3600.0  # seconds: the time of a file that was written just now proves nothing to a client
GRACE = "3s"  # for connections that are open when it is told to end
PROC_NOT_SENT = "/proc/sys/net/ipv4/tcp_notsent_lowat"  # of the namespace
NOT_SENT = 16384  # bytes of a connection that wait in the kernel and are not on their way: the log counts them as sent
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/\d+")

_CONF = """
worker_processes 1;
pid {folder}/nginx.pid;
daemon off;
user root;
error_log {folder}/error.log;
worker_shutdown_timeout {grace};
events {{}}
http {{
    log_format lab escape=json '{{"client": "$remote_addr", "status": $status, "body": $body_bytes_sent, '
        '"at": $msec, "seconds": $request_time, '
        '"content_range": "$sent_http_content_range"}}';
    access_log {folder}/access.log lab;
    sendfile on;
    client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
    uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
    server {{
        listen {address}:{port};
        root {files};
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the log: `body` bytes of the file from `begin` on were sent to `client`; 0 of an error's page."""

    client: str  # address
    status: int
    begin: int
    body: int
    ended_at: float = 0.0  # Unix time
    seconds: float = 0.0  # since the request

    @property
    def asked_at(self) -> float:
        return self.ended_at - self.seconds


def program() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")


def version() -> str:
    """`"nginx/1.22.1"`. Raises `LabError` if it is not installed."""
    found = program()
    if found is None:
        raise LabError("'nginx' is missing: apt install nginx")
    return first_line_of([found, "-v"]).removeprefix("nginx version: ")


def prepare(folder: Path, files: Path, address: str) -> Command:
    """The command that serves `files`; it is up once `folder/nginx.pid` has something in it."""
    found = program()
    assert found is not None
    conf = _CONF.format(folder=folder, files=files, address=address, port=PORT, grace=GRACE)
    (folder / "nginx.conf").write_text(conf)
    serve = f"echo {NOT_SENT} > {PROC_NOT_SENT}; exec {found} -c {folder}/nginx.conf -e {folder}/error.log"
    return ["sh", "-c", serve]


def url_at(address: str) -> str:
    return f"http://{address}/{NAME}"


def is_up(folder: Path) -> bool:
    pid = folder / "nginx.pid"
    return pid.exists() and bool(pid.read_text().strip())


def parse_log(text: str) -> list[Answer]:
    """Raises `ValueError` for lines that are not of this log."""
    return [_answer(json.loads(line)) for line in text.splitlines()]


def _answer(line: dict[str, Any]) -> Answer:
    status = int(line["status"])
    whole = CONTENT_RANGE.fullmatch(str(line["content_range"]))
    is_file = status in (200, 206)
    begin = int(whole[1]) if whole else 0
    body = int(line["body"]) if is_file else 0
    return Answer(str(line["client"]), status, begin, body, float(line["at"]), float(line["seconds"]))


def sent_bytes(answers: Sequence[Answer]) -> int:
    return sum(answer.body for answer in answers)


def sent_twice(answers: Sequence[Answer]) -> int:
    """Bytes of the file that left after they had left before, to whomever."""
    end = distinct = 0
    for answer in sorted(answers, key=lambda one: one.begin):
        last = answer.begin + answer.body
        distinct += max(0, last - max(end, answer.begin))
        end = max(end, last)
    return sent_bytes(answers) - distinct


def sent_to(answers: Sequence[Answer], address: str) -> int:
    return sum(answer.body for answer in answers if answer.client == address)
