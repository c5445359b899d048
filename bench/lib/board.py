"""The driver's side of the board (bench/board.h): who started when, and the word that all triggers sleep on.

A futex in shared memory, not a log file or a pipe: one call releases any number of triggers in the same instant, and the
driver sleeps until the last record is written, so that it takes no CPU from what it measures."""
import ctypes
import mmap
import os
import platform
import struct
import time

RECORDS = 8192
START, EXIT = 1, 2
_HEAD = 64
_GO, _DONE, _NEXT, _COUNT, _WANT, _ITEM, _HELD = (4 * i for i in range(7))
_RECORD = struct.Struct("<qII")
_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine())
_FUTEX_WAIT, _FUTEX_WAKE = 0, 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]


class Late(Exception):
    """What was waited for did not come in time."""


class Board:
    """A board in <folder>, made here. Everything that is measured with it sees the folder as $STAMP_DIR."""

    def __init__(self, folder):
        if _SYS_FUTEX is None:
            raise SystemExit(f"bench: no futex call is known for {platform.machine()}")
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        size = _HEAD + RECORDS * _RECORD.size
        with open(os.path.join(folder, "board"), "w+b") as f:
            f.write(bytes(size))  # touched here, so that no container is charged for these pages
            f.flush()
            self._map = mmap.mmap(f.fileno(), size)
        self._words = (ctypes.c_uint32 * (_HEAD // 4)).from_buffer(self._map)

    def _get(self, at):
        return self._words[at // 4]

    def _set(self, at, value):
        self._words[at // 4] = value & 0xFFFFFFFF

    def _futex(self, at, op, value, timeout=None):
        address = ctypes.c_void_p(ctypes.addressof(self._words) + at)
        return _libc.syscall(ctypes.c_long(_SYS_FUTEX), address, ctypes.c_long(op), ctypes.c_long(value), timeout, None, ctypes.c_long(0))

    def expect(self, want):
        """Forgets all records; wait() will wait for <want> new ones. Only while nothing writes."""
        self._set(_NEXT, 0)
        self._set(_COUNT, 0)
        self._set(_WANT, want)

    def release(self):
        """Every trigger on this board exits now. Returns the moment, in CLOCK_MONOTONIC ns."""
        now = time.monotonic_ns()
        self._set(_GO, self._get(_GO) + 1)
        self._futex(_GO, _FUTEX_WAKE, 0x7FFFFFFF)
        return now

    def wait(self, seconds):
        """Until all expected records are there. Late otherwise, saying how many came."""
        deadline = time.monotonic() + seconds
        while True:
            done = self._get(_DONE)
            if self._get(_COUNT) >= self._get(_WANT):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late(f"{self._get(_COUNT)} of {self._get(_WANT)} records after {seconds} s")
            wait = _Timespec(int(left), int(left % 1 * 1e9))
            self._futex(_DONE, _FUTEX_WAIT, done, ctypes.byref(wait))

    def hold(self, yes):
        """Whether those who take items from the queue wait before they do."""
        self._set(_HELD, int(yes))
        if not yes:
            self._futex(_HELD, _FUTEX_WAKE, 0x7FFFFFFF)

    def items(self):
        """Items taken so far."""
        return self._get(_ITEM)

    def records(self, what=None):
        """[(ns, who, what)] since expect(), in the order of writing."""
        n = min(self._get(_COUNT), RECORDS)
        rows = [_RECORD.unpack_from(self._map, _HEAD + i * _RECORD.size) for i in range(n)]
        return [r for r in rows if what is None or r[2] == what]

    def first(self, what):
        return min(r[0] for r in self.records(what))

    def last(self, what):
        return max(r[0] for r in self.records(what))
