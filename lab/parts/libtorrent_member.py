"""libtorrent as a member of a swarm; a program of its own.

    libtorrent_member.py TORRENT DIR ADDRESS PORT [seed]

Prints "complete" as soon as it has everything, stays, and when it is ended prints how many payload bytes it sent
("sent N"). With `seed` nothing is checked: what is in DIR is taken for right.

Its own defaults, save for what a swarm on a lab's network does not need (discovery other than the tracker, uTP,
encryption) and for the depths of its queues, which are raised as for any fast link. On a slow one they change nothing.
"""

from __future__ import annotations

import signal
import sys

import libtorrent as lt

WAKE_EVERY = 20  # milliseconds; an alert wakes it sooner
SETTINGS: lt.settings_pack = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "out_enc_policy": int(lt.enc_policy.disabled),
    "in_enc_policy": int(lt.enc_policy.disabled),
    "allow_multiple_connections_per_ip": True,
    "send_buffer_watermark": 4 << 20,
    "max_out_request_queue": 1500,
    "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.error_notification),
}


class Ended(Exception):
    """We were told to end."""


def main(torrent_path: str, folder: str, address: str, port: str, role: str = "leecher") -> int:
    signal.signal(signal.SIGTERM, on_end)
    session = lt.session({**SETTINGS, "listen_interfaces": f"{address}:{port}"})
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent_path)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if role == "seed":
        params.flags |= lt.torrent_flags.seed_mode
    torrent = session.add_torrent(params)
    try:
        while not torrent.status().is_seeding:
            look_around(session)
        print("complete", flush=True)
        while True:
            look_around(session)
    except Ended:
        print(f"sent {torrent.status().total_payload_upload}", flush=True)
        return 0


def on_end(*_: object) -> None:
    raise Ended


def look_around(session: lt.session) -> None:
    """Sleep until something happens or a moment has passed. A failure ends the process."""
    session.wait_for_alert(WAKE_EVERY)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.file_error_alert | lt.listen_failed_alert):
            sys.exit(alert.message())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
