"""Reads recordings: files that the engine adds to while a program runs (`pool/timeline.rs`, which describes them).

A file is whole up to its last complete block, whoever was killed when; what follows that is left out.
"""

import json
import struct
from typing import Any

from procession._report.run import DIED, RAISED, RETURNED, UNFINISHED, Failure, Job, Life, PoolNote, Row, Run

__all__ = ["MAGIC", "VERSION", "read"]

MAGIC = b"procession recording "
VERSION = 1
_HEAD = struct.Struct("=2sHI")
_ROW = struct.Struct("=4I8Q")
_UNKNOWN = 2**64 - 1
_MOST_LANES = 4096


class _Reading:
    """What was read so far, by the numbers of the file."""

    def __init__(self):
        self.pools: dict[Any, Any] = {}
        self.jobs: dict[Any, Any] = {}
        self.lives: dict[Any, Any] = {}
        self.rows: list[Any] = []
        self.memory: list[Any] = []
        self.messages: dict[Any, Any] = {}
        self.last = 0
        self.is_whole = False

    def block(self, kind, body):
        """Take up one block; struct.error or IndexError if it makes no sense."""
        process = struct.unpack_from("=I", body)[0]
        if kind == 1:
            self.rows.extend((process, *row) for row in _ROW.iter_unpack(body[8 : 8 + (len(body) - 8) // 80 * 80]))
        elif kind == 2:
            number, made, workers = struct.unpack_from("=IQQ", body, 4)
            name, _, method = body[24:].decode(errors="replace").partition("\0")
            self.pools[process, number] = (made, workers, name, method)
        elif kind == 3:
            pool, job, _, started, total = struct.unpack_from("=IIIQQ", body, 4)
            method, _, function = body[32:].decode(errors="replace").partition("\0")
            self.jobs[process, job] = (function or "?", method, started, None if total == _UNKNOWN else total)
        elif kind == 4:
            pool, life, place, pid, _, started = struct.unpack_from("=IIIIIQ", body, 4)
            self.lives[process, life] = [pool, place, pid, started, None, None, True]
        elif kind == 5:
            life, when = struct.unpack_from("=IQ", body, 4)
            if (process, life) in self.lives:
                self.lives[process, life][4] = when
        elif kind == 6:
            life, when, is_expected = struct.unpack_from("=IQQ", body, 4)
            if (process, life) in self.lives:
                self.lives[process, life][5:] = [when, bool(is_expected)]
        elif kind == 7:
            when = struct.unpack_from("=Q", body, 8)[0]
            sizes = struct.iter_unpack("=II", body[16 : 16 + (len(body) - 16) // 8 * 8])
            self.memory.append((process, when, list(sizes)))
            self.last = max(self.last, when)
        elif kind == 8:
            job, item, when = struct.unpack_from("=IQQ", body, 4)
            self.messages.setdefault((process, job, item), []).append(body[24:].decode(errors="replace"))
        elif kind == 9:
            self.last = max(self.last, struct.unpack_from("=Q", body, 8)[0])
            self.is_whole = True


def read(path):
    """Read a recording.

    Args:
        path: the file.

    Returns:
        A `Run`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no recording, or one of another version.
    """
    with open(path, "rb") as file:
        head = file.readline(1 << 16)
        if not head.startswith(MAGIC):
            raise ValueError(f"{path} is no recording of procession")
        version, _, about = head.removeprefix(MAGIC).partition(b" ")
        if version != b"%d" % VERSION:
            raise ValueError(
                f"{path} is a recording of version {version.decode(errors='replace')}: this procession reads {VERSION}"
            )
        try:
            about = json.loads(about)
        except ValueError:
            about = b""
        if not isinstance(about, dict):
            raise ValueError(f"{path} is no recording of procession: its head is broken")
        reading = _Reading()
        while len(block := file.read(_HEAD.size)) == _HEAD.size:
            magic, kind, size = _HEAD.unpack(block)
            if magic != b"PR" or size > 1 << 30 or len(body := file.read(size)) < size:
                break
            try:
                reading.block(kind, body)
            except (struct.error, IndexError):
                break
    return _run_of(reading, about)


def _run_of(reading, about):
    starts = [pool[0] for pool in reading.pools.values()] + [life[3] for life in reading.lives.values()]
    starts += [row[5] for row in reading.rows] + [job[2] for job in reading.jobs.values()]
    begun = about.get("begun")
    base = max(min(starts, default=0), begun if isinstance(begun, int) else 0)
    base = min([base, *(row[5] for row in reading.rows)])
    ends = [row[5] + row[6] for row in reading.rows] + [life[5] or 0 for life in reading.lives.values()]
    last = max([base, *ends] if ends else [base, reading.last])

    def seconds(when):
        return None if when is None else max(0.0, (when - base) / 1e9)

    run = Run(str(about.get("program", "?")), seconds(last) or 0.0, about, is_whole=reading.is_whole)
    for (process, number), (made, workers, _, method) in reading.pools.items():
        run.pools.append(PoolNote(process, number, seconds(made), workers, method))
    lives = _lives(reading, run, seconds)
    jobs = {}
    for key, (function, method, started, total) in reading.jobs.items():
        jobs[key] = len(run.jobs)
        run.jobs.append(Job(function, method, seconds(started), total))
    for process, life, job, outcome, count, start, span, busy, first, cpu, line, sent, returned in reading.rows:
        if (process, life) not in lives or outcome > 3:
            continue
        if (process, job) not in jobs:
            if outcome == UNFINISHED:
                continue  # of a job before the recording, whose worker had not said yet that it has ended
            jobs[process, job] = len(run.jobs)
            run.jobs.append(Job("?", "", seconds(start), None))
        ran, in_line = (-1.0, -1.0) if cpu == _UNKNOWN else (cpu / 1e9, line / 1e9)
        whose = (lives[process, life], jobs[process, job])
        values = (outcome, first, count, seconds(start), span / 1e9, busy / 1e9, ran, in_line, sent, returned)
        run.rows.append(Row._make(whose + values))
    run.rows = shared_out(sorted(run.rows, key=lambda row: (row.life, row.start)))
    keys = {index: key for key, index in jobs.items()}
    run.failures = _failures(run, lambda job, item: reading.messages.get((keys[job][0], keys[job][1], item), []))
    return run


def _lives(reading, run, seconds):
    """Fill in lanes, lives and memory; say which life of the file is which of the run."""
    known = sorted({(process, life[0], life[1]) for (process, _), life in reading.lives.items()})[:_MOST_LANES]
    lanes = {key: at for at, key in enumerate(known)}
    pools = list(dict.fromkeys((process, pool) for process, pool, _ in lanes))
    for process, pool, place in lanes:
        which = f"pool {pools.index((process, pool)) + 1}, " if len(pools) > 1 else ""
        run.lanes.append(f"{which}worker {place}")
    lives = {}
    for (process, number), (pool, place, pid, started, ready, ended, is_expected) in reading.lives.items():
        if (process, pool, place) not in lanes:
            continue
        lives[process, number] = len(run.lives)
        lane = lanes[process, pool, place]
        run.lives.append(Life(lane, pid, seconds(started), seconds(ready), seconds(ended), is_expected))
    main = reading.memory[0][0] if reading.memory else None
    for process, when, sizes in reading.memory:
        for number, size in sizes:
            if number and (process, number) in lives:
                run.lives[lives[process, number]].memory.append((seconds(when), size << 10))
            elif not number and process == main:
                run.parent_memory.append((seconds(when), size << 10))
    return lives


def shared_out(rows):
    """Rows with the times on a CPU shared out: a row that knows them tells them of those before it that do not, too."""
    done, waiting = [], []
    for row in rows:
        if waiting and waiting[0].life != row.life:
            done += waiting
            waiting = []
        waiting.append(row)
        if row.cpu >= 0:
            total = sum(one.busy for one in waiting) or 1.0
            for one in waiting:
                cpu = min(one.busy, row.cpu * one.busy / total)
                line = min(one.busy - cpu, row.line * one.busy / total)
                done.append(one._replace(cpu=cpu, line=line))
            waiting = []
    return done + waiting


def _failures(run, messages):
    told: dict[Any, int] = {}
    tried = {}
    for row in run.rows:
        if row.outcome in (RETURNED, RAISED, DIED) and row.count == 1:
            tried[row.job, row.first] = max(row.start, tried.get((row.job, row.first), 0.0))
    failures = []
    for row in sorted(run.rows, key=lambda row: row.start):
        if row.outcome not in (RAISED, DIED):
            continue
        for item in range(row.first, row.first + min(row.count, 100)):
            texts = messages(row.job, item)
            number = told[row.job, item] = told.get((row.job, item), -1) + 1
            text = texts[number] if number < len(texts) else ""
            again = tried.get((row.job, item), -1.0) > row.start
            seconds = row.busy / row.count
            failures.append(
                Failure(row.job, item, row.outcome, text, run.lives[row.life].lane, seconds, row.start, again)
            )
        if len(failures) >= 1000:
            break
    return failures
