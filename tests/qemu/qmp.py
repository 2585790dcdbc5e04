# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's machine protocol, and the errors of the tests."""

import json
import socket
import time


class Failed(Exception):
    """A test has failed, and why."""


class Corrupt(Failed):
    """The guest's data, or the order of its requests, is not what it should be."""


class Qmp:
    """One connection; events are kept until somebody waits for them."""

    def __init__(self, sock, seconds=20):
        self._sock = sock
        self._data = b""
        self.events = []
        self._next(time.monotonic() + seconds)
        self.execute("qmp_capabilities")

    def close(self):
        self._sock.close()

    def _next(self, deadline):
        while b"\n" not in self._data:
            self._sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                got = self._sock.recv(65536)
            except socket.timeout:
                raise Failed("QMP: no answer in time")
            except OSError as e:
                raise Failed("QMP: %s" % e)
            if not got:
                raise Failed("QMP: QEMU has ended")
            self._data += got
        line, self._data = self._data.split(b"\n", 1)
        return json.loads(line)

    def execute(self, command, seconds=30, **arguments):
        """The command's return value; Failed with QEMU's words if it refuses."""
        deadline = time.monotonic() + seconds
        text = json.dumps({"execute": command, "arguments": arguments})
        try:
            self._sock.sendall(text.encode() + b"\n")
        except OSError as e:
            raise Failed("QMP: %s: %s" % (command, e))
        while True:
            answer = self._next(deadline)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise Failed("QMP: %s: %s" % (command, answer["error"]["desc"]))
            else:
                return answer["return"]

    def wait_event(self, name, seconds, wanted=lambda data: True):
        """The data of the first event of that name that is wanted; earlier ones go."""
        deadline = time.monotonic() + seconds
        while True:
            while self.events:
                event = self.events.pop(0)
                data = event.get("data", {})
                if event["event"] == name and wanted(data):
                    return data
            answer = self._next(deadline)
            if "event" in answer:
                self.events.append(answer)
