#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: hostile.py PORT SECONDS SCRAPES [CONNECTIONS]

A hostile client and a legal one. Of CONNECTIONS (1000) connections a third sends nothing, a third one byte of
a head a second, a third whole requests whose answer it does not read; who is shown out comes again. Meanwhile
the legal client scrapes /metrics. Prints what that took: "scrapes N failed N p50_ms N p99_ms N max_ms N
hostile_alive N".
"""
import selectors
import socket
import sys
import threading
import time

PORT, SECONDS, SCRAPES = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
CONNECTIONS = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
HEAD = b"GET /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
REQUEST = b"GET /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n"
stop = threading.Event()


class Slow:
    """One hostile connection, with its way to be slow."""

    def __init__(self, kind, selector):
        self.kind, self.selector, self.socket, self.sent = kind, selector, None, 0
        self.connect()

    def connect(self):
        self.close()
        self.sent = 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", PORT))
        # Who does not read learns of the end only by looking for it now and then.
        if self.kind != "deaf":
            self.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self):
        if self.socket:
            try:
                self.selector.unregister(self.socket)
            except (KeyError, ValueError):
                pass
            self.socket.close()

    def trickle(self):
        try:
            if self.kind == "trickle":
                self.socket.send(HEAD[self.sent : self.sent + 1] or b"x")
                self.sent += 1
            elif self.kind == "deaf" and not self.sent:
                self.sent = self.socket.send(REQUEST)
            elif self.kind == "deaf":
                self.socket.send(b"x")
        except BlockingIOError:
            pass
        except OSError:
            self.connect()


def besiege():
    selector = selectors.DefaultSelector()
    kinds = ("silent", "trickle", "deaf")
    slow = [Slow(kinds[i % 3], selector) for i in range(CONNECTIONS)]
    alive.append(slow)
    ready.set()
    at = 0
    while not stop.is_set():
        for key, _ in selector.select(0.02):
            key.data.connect()
        for one in slow[at : at + CONNECTIONS // 50]:
            one.trickle()
        at = (at + CONNECTIONS // 50) % max(CONNECTIONS, 1)


def scrape():
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", PORT), 5) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    good = answer.startswith(b"HTTP/1.1 200") and b"temporal_slab_processes 1\n" in answer
    return (time.monotonic() - began) * 1000, good


alive, ready = [], threading.Event()
threading.Thread(target=besiege, daemon=True).start()
ready.wait()
time.sleep(1)
times, failed = [], 0
for _ in range(SCRAPES):
    try:
        ms, good = scrape()
    except OSError:
        ms, good = 5000, False
    times.append(ms)
    failed += not good
    time.sleep(SECONDS / SCRAPES)
stop.set()
times.sort()
print(
    f"scrapes {SCRAPES} failed {failed} p50_ms {times[SCRAPES // 2]:.1f} "
    f"p99_ms {times[min(SCRAPES - 1, SCRAPES * 99 // 100)]:.1f} max_ms {times[-1]:.1f} "
    f"hostile_alive {sum(len(slow) for slow in alive)}"
)
