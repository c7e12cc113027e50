"""One training at a time in a run folder: a lock file with a heartbeat.

    RUN/lock   {"host": ..., "pid": ..., ...}   its time of change is the holder's last heartbeat

A lock is stale when its process is gone, which is known on the same machine, or when its heart has not beaten for
`STALE_S`, which is seen from any machine that shares the folder.
"""

import json
import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

log = logging.getLogger("jaxssl")

BEAT_S = 5.0
STALE_S = 60.0


class Occupied(RuntimeError):
    """Another process trains in this run folder."""


class Lock:
    """Held from `acquire` to `release`; `lost` says whether another process has taken it over meanwhile."""

    def __init__(self, folder: str | Path):
        self.file, self.token = Path(folder) / "lock", uuid.uuid4().hex
        self.lost, self._over, self._thread = False, threading.Event(), None

    def acquire(self) -> None:
        """Raises Occupied, naming host and process, where another process trains in the folder."""
        own = json.dumps({**_myself(), "token": self.token}) + "\n"
        for _ in range(100):
            holder = self._holder()
            if holder is None:
                if self._create(own):
                    self._thread = threading.Thread(target=self._beat, daemon=True)
                    self._thread.start()
                    return
                continue
            silent = self._silent_for()
            if silent is None:
                continue
            reason = _gone(holder) or (f"has been silent for {silent:.0f} s" if silent > STALE_S else "")
            name = f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"
            if not reason:
                raise Occupied(
                    f"{self.file.parent} is in use: {name} trains there since {holder.get('since', '?')}. Wait until it "
                    f"ends, stop it, or take another --workdir; its lock lapses {STALE_S:.0f} s after its last heartbeat."
                )
            if self._take_away(holder):
                log.warning("the lock of %s in %s is taken over: that process %s", name, self.file.parent, reason)
        raise Occupied(f"{self.file} changes hands all the time: several processes want to train in this folder.")

    def release(self) -> None:
        """Gives the folder free."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if (self._holder() or {}).get("token") == self.token:
            self.file.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises Occupied where another process has taken the folder over, while this one was frozen, say."""
        if self.lost:
            holder = self._holder() or {}
            raise Occupied(
                f"{self.file.parent} was taken over by process {holder.get('pid', '?')} on {holder.get('host', '?')} while "
                "this one gave no sign of life: stopped, without saving over what the other one writes."
            )

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                if (self._holder() or {}).get("token") != self.token:
                    self.lost = True
                    return
                os.utime(self.file)
            except OSError:
                continue  # a file system that is away for a moment

    def _holder(self) -> dict | None:
        """The content of the lock, {} where it cannot be read, None where there is none."""
        try:
            return _parsed(self.file)
        except FileNotFoundError:
            return None

    def _create(self, content: str) -> bool:
        """Whole, and only where there is none: a link to a finished file."""
        number, name = tempfile.mkstemp(prefix=".lock.", dir=self.file.parent)
        try:
            with os.fdopen(number, "w") as file:
                file.write(content)
            os.link(name, self.file)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            try:
                with self.file.open("x") as file:
                    file.write(content)
            except FileExistsError:
                return False
        finally:
            os.unlink(name)
        return True

    def _silent_for(self) -> float | None:
        """Seconds since the last heartbeat by the clock of the file system, which all hosts share; None: gone."""
        try:
            with tempfile.NamedTemporaryFile(prefix=".lock.", dir=self.file.parent) as now:
                return os.stat(now.name).st_mtime - self.file.stat().st_mtime
        except FileNotFoundError:
            return None

    def _take_away(self, holder: dict) -> bool:
        """Whether this process, and not one beside it, took the stale lock away."""
        aside = self.file.with_name(f".lock.{self.token}")
        try:
            self.file.rename(aside)
            taken = _parsed(aside)
        except FileNotFoundError:
            return False
        try:
            if taken != holder:
                # Another process was quicker, and this is its lock, not the stale one.
                os.link(aside, self.file)
                return False
        except FileExistsError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True


def _parsed(file: Path) -> dict:
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _myself() -> dict:
    pid = os.getpid()
    return dict(
        host=socket.gethostname(),
        pid=pid,
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        machine=_machine(),
        born=_born(pid),
    )


def _machine() -> str:
    """Equal for processes that can see each other by number: same boot, same name space of processes; '' if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _born(pid: Any) -> str:
    """When a process started, in ticks since boot: a number that is given again has another. '' where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    state, *rest = stat.rpartition(b")")[2].split()
    return "" if state in (b"Z", b"X") else rest[18].decode()


def _gone(holder: dict) -> str:
    """Why the holder is known to be gone, or ''."""
    if not holder.get("machine") or holder["machine"] != _machine():
        return ""
    return "" if _born(holder.get("pid")) == holder.get("born") else "is gone"
