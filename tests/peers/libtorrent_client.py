"""libtorrent as a program: `libtorrent_client.py TORRENT DIR BIND [ADDR]` takes part until it is ended.

It prints `listening on HOST:PORT` once; Ctrl-C makes it say goodbye to its trackers first.
`libtorrent_client.py --create v1|hybrid PATH TORRENT [WEB_SEED]` makes a torrent.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import libtorrent as lt

PIECE_LENGTH = 64 * 1024
GOODBYE_SECONDS = 10.0  # that a tracker may take
LOOK_UP_EVERY = 100  # milliseconds; inside libtorrent no signal is heard
SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,  # or it tries uTP first, for seconds
    "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "min_announce_interval": 1,  # seconds; it goes by the interval of its tracker, however short
    "alert_mask": int(lt.alert.category_t.error_notification),
}


def take_part(torrent_path: str, folder: str, bind: str, address: str = "") -> None:
    session = lt.session({**SETTINGS, "listen_interfaces": f"{bind}:0"})
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent_path)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    torrent = session.add_torrent(params)
    if address:
        host, _, port = address.rpartition(":")
        torrent.connect_peer((host.strip("[]"), int(port)))
    print(f"listening on {bind}:{session.listen_port()}", flush=True)
    is_leaving: list[bool] = []
    signal.signal(signal.SIGINT, lambda *_: is_leaving.append(True))
    while not is_leaving:
        session.wait_for_alert(LOOK_UP_EVERY)
        for alert in session.pop_alerts():
            print(alert.message(), flush=True)
    say_goodbye(session, torrent)


def say_goodbye(session: lt.session, torrent: lt.torrent_handle) -> None:
    """Leave the torrent, and wait until its tracker knows; a session that ends at once tells UDP trackers nothing."""
    session.apply_settings({"alert_mask": int(lt.alert.category_t.tracker_notification)})
    torrent.pause()
    deadline = time.monotonic() + GOODBYE_SECONDS
    while time.monotonic() < deadline:
        session.wait_for_alert(LOOK_UP_EVERY)
        for alert in session.pop_alerts():
            print(alert.message(), flush=True)
            if isinstance(alert, lt.tracker_reply_alert):
                return


def create(kind: str, path: str, out: str, web_seed: str = "") -> None:
    torrent = lt.create_torrent(
        lt.list_files(path), PIECE_LENGTH, lt.create_torrent.v1_only if kind == "v1" else 0
    )
    if web_seed:
        torrent.add_url_seed(web_seed)
    lt.set_piece_hashes(torrent, str(Path(path).parent))
    Path(out).write_bytes(lt.bencode(torrent.generate()))


if __name__ == "__main__":
    if sys.argv[1] == "--create":
        create(*sys.argv[2:])
    else:
        take_part(*sys.argv[1:])
