"""The table of `shoal get`: of its options those for which a lasting value makes sense.

What is about one file (its name, its digest, headers with secrets) is no setting.
"""

from __future__ import annotations

from shoal.cli.settings.kinds import (
    ADDRESS,
    CONNECTIONS,
    FILE,
    FLAG,
    FOLDER,
    GROUP,
    PORT,
    PROXY,
    RATE,
    TEXT,
    TRACKER_URL,
)
from shoal.cli.settings.table import Section, Setting

GET = Section(
    "get",
    (
        Setting("dir", FOLDER, "Where to put it. Without it: the current folder.", examples=("~/Downloads",)),
        Setting(
            "connections",
            CONNECTIONS,
            "No more connections than this at once. Without it: 16; fewer while more add nothing.",
            examples=(16,),
        ),
        Setting(
            "proxy",
            PROXY,
            "Go through this proxy (HTTP or SOCKS). Without it: as the environment says.",
            is_secret=True,
            examples=("socks5h://127.0.0.1:1080",),
        ),
        Setting(
            "cacert",
            FILE,
            "Trust the CAs in this file of certificates (PEM) for URLs, in place of the system's.",
            examples=("/etc/ssl/own-ca.pem",),
        ),
        Setting("remote_time", FLAG, "Give the file the time that the server says.", False),
        Setting(
            "group",
            GROUP,
            "Get files of URLs together with the members of this group, as far as they are of use.",
            is_once=True,
            examples=("lab",),
        ),
        Setting(
            "tracker",
            TRACKER_URL,
            "Where to look for the group's members, beside the local network; may be given several times.",
            is_multiple=True,
            examples=("http://tracker.example:6969/announce",),
        ),
        Setting(
            "max_upload_rate",
            RATE,
            "Send no more than this a second to all peers together: 500k, 2MB/s, 1.5MiB/s; a bare number is bytes.",
            examples=("2MB/s",),
        ),
        Setting(
            "max_download_rate",
            RATE,
            "Receive no more than this a second, from all peers or servers together, written the same way.",
            examples=("10MB/s",),
        ),
        Setting(
            "bind",
            ADDRESS,
            "Listen on this address, and connect from it. Without it: all interfaces, IPv4 and IPv6.",
            examples=("192.0.2.7",),
        ),
        Setting(
            "port",
            PORT,
            "Listen on this port; 0 takes any. Without it: 6881 or the next free one.",
            examples=(6881,),
        ),
        Setting(
            "name",
            TEXT,
            "What the log calls this machine; others see its address.",
            metavar="NAME",
            examples=("here",),
        ),
        Setting(
            "log",
            FILE,
            "Record in FILE, a JSON object a line, which piece came from whom and went to whom.",
            examples=("get.jsonl",),
        ),
    ),
)
