"""libtorrent as seed or leecher, tuned for one fast link; a program of its own.

    libtorrent_peer.py seed TORRENT DIR         prints "listening on ADDR", serves until it is ended
    libtorrent_peer.py get TORRENT DIR [ADDR]   ends when everything is there; without ADDR the tracker is asked

The settings are those that made it fastest here: large send buffers, deep request queues, as many disk and hash
threads as there are cores to use, and nothing that a direct connection does not need.
"""

from __future__ import annotations

import os
import sys

import libtorrent as lt

POLL_EVERY = 0.01  # seconds; the alert wakes us sooner
CORES = os.cpu_count() or 1
SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "allow_multiple_connections_per_ip": True,
    "out_enc_policy": int(lt.enc_policy.disabled),
    "in_enc_policy": int(lt.enc_policy.disabled),
    "aio_threads": max(2, CORES),
    "hashing_threads": max(1, CORES // 2),
    "send_buffer_watermark": 16 << 20,
    "send_buffer_low_watermark": 1 << 20,
    "send_buffer_watermark_factor": 200,
    "max_out_request_queue": 3000,
    "max_allowed_in_request_queue": 5000,
    "request_queue_time": 10,
    "max_queued_disk_bytes": 64 << 20,
    "unchoke_slots_limit": -1,
    "mixed_mode_algorithm": 0,  # prefer TCP: there is no uTP to be fair to
    "alert_mask": int(lt.alert.category_t.status_notification | lt.alert.category_t.error_notification),
}


def main(verb: str, torrent_path: str, folder: str, address: str = "") -> int:
    session = lt.session(SETTINGS)
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent_path)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if verb == "seed":
        params.flags |= lt.torrent_flags.seed_mode
    torrent = session.add_torrent(params)
    if verb == "seed":
        print(f"listening on 127.0.0.1:{session.listen_port()}", flush=True)
        while True:
            session.wait_for_alert(60_000)
            session.pop_alerts()
    if address:
        host, _, port = address.rpartition(":")
        torrent.connect_peer((host, int(port)))
    while not torrent.status().is_seeding:
        session.wait_for_alert(int(POLL_EVERY * 1000))
        failed = [alert for alert in session.pop_alerts() if isinstance(alert, lt.file_error_alert)]
        if failed:
            print(failed[0].message(), file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
