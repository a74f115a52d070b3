"""Checks of the machine: what it allows, and what makes programs with many processes slow or fail there."""

import math
import os
import resource
import tempfile
import time
from collections.abc import Iterator

from procession._pool import cpus
from procession._pool.amounts import size
from procession.cli.doctor.finding import FAILS, HURTS, KNOW, Finding, Surroundings, check

# Descriptors of a program beside those of its workers, and those of each worker.
OWN_DESCRIPTORS, EACH_DESCRIPTORS = 64, 5
LONGEST_TMPDIR = 70
SLOW_CLOCK_NS = 400
GIB = 1 << 30


def workers_of(place: Surroundings) -> int:
    """Return how many workers a pool gets here by default."""
    limit = cpus.quota(os.path.join(place.proc, "self/cgroup"), os.path.join(place.sys, "fs/cgroup"))
    return place.cpus if limit is None else max(1, min(place.cpus, math.ceil(limit)))


@check("cpu-quota", "machine")
def cpu_quota(place: Surroundings) -> Iterator[Finding]:
    """A container with fewer CPUs than the machine."""
    count = workers_of(place)
    if count < place.cpus and "PYTHON_CPU_COUNT" not in place.environ:
        yield Finding(
            HURTS,
            "cpu-quota",
            f"This container may use {count} of the {place.cpus} CPUs that os.cpu_count() reports: procession starts "
            f"{count} workers, other libraries {place.cpus} workers and threads.",
            f"PYTHON_CPU_COUNT={count} OMP_NUM_THREADS={count} in the environment",
        )


@check("cpu-throttled", "machine")
def cpu_throttled(place: Surroundings) -> Iterator[Finding]:
    """A quota that has stopped this group often."""
    for folder in place.groups():
        stats = place.table("sys", folder, "cpu.stat")
        periods, stopped = stats.get("nr_periods", 0), stats.get("nr_throttled", 0)
        if periods and stopped / periods > 0.05:
            yield Finding(
                HURTS,
                "cpu-throttled",
                f"This control group was stopped in {100 * stopped / periods:.0f} % of its periods, as it had "
                "used up its quota.",
                "fewer workers, or a larger quota",
            )
            return


@check("cpu-pressure", "machine")
def cpu_pressure(place: Surroundings) -> Iterator[Finding]:
    """A machine whose CPUs are wanted by others."""
    for word in place.text("proc", "pressure/cpu").split():
        name, _, value = word.partition("=")
        if name == "avg60":
            if float(value) > 40:
                yield Finding(
                    HURTS,
                    "cpu-pressure",
                    f"Something was in line for a CPU during {float(value):.0f} % of the last minute: measure "
                    "nothing now.",
                    "uptime; procession top",
                )
            return


@check("memory-limit", "machine")
def memory_limit(place: Surroundings) -> Iterator[Finding]:
    """A limit of memory, and processes that the kernel has killed for it."""
    count = workers_of(place)
    for folder in place.groups():
        limit = place.number("sys", folder, "memory.max")
        killed = place.table("sys", folder, "memory.events").get("oom_kill", 0)
        if killed:
            yield Finding(
                HURTS,
                "memory-limit",
                f"The kernel has killed {killed} process{'' if killed == 1 else 'es'} of this control group for "
                "its memory" + (f", of which there are {size(limit)} for {count} workers." if limit else "."),
                "Pool(max_memory=...), which fails the task alone; fewer workers",
            )
            return
        if limit and limit / count < GIB / 4:
            yield Finding(
                HURTS,
                "memory-limit",
                f"{size(limit)} for {count} workers: each has {size(limit / count)}.",
                "Pool(max_memory=...), which fails the task alone; fewer workers",
            )
            return


@check("memory-groups", "machine")
def memory_groups(place: Surroundings) -> Iterator[Finding]:
    """Whether the kernel can hold workers to a limit of memory."""
    from procession._procession import MemoryGroups

    groups = os.path.join(place.proc, "self/cgroup")
    if MemoryGroups.find(os.path.join(place.sys, "fs/cgroup"), groups, os.geteuid()) is None:
        yield Finding(
            KNOW,
            "memory-groups",
            "No control group is delegated to this user: max_memory= is held by looks now and then, not by the kernel.",
            "systemd-run --user --scope -p Delegate=yes python program.py",
        )


@check("oom-score", "machine")
def oom_score(place: Surroundings) -> Iterator[Finding]:
    """A service that the kernel would rather not end, which children inherit."""
    score = place.number("proc", "self/oom_score_adj")
    if score is not None and score < -500:
        yield Finding(
            HURTS,
            "oom-score",
            f"oom_score_adj is {score}, and children inherit it: without memory the kernel ends other programs "
            "before your workers.",
            "OOMScoreAdjust=0 in the service",
        )


@check("overcommit", "machine")
def overcommit(place: Surroundings) -> Iterator[Finding]:
    """A kernel that promises no memory that it has not."""
    if place.number("proc", "sys/vm/overcommit_memory") == 2:
        yield Finding(
            HURTS,
            "overcommit",
            "vm.overcommit_memory is 2: large mappings may be refused, though little of them is used.",
            "sysctl vm.overcommit_memory=0",
        )


@check("shm-size", "machine")
def shm_size(place: Surroundings) -> Iterator[Finding]:
    """/dev/shm as containers have it."""
    try:
        found = os.statvfs(place.shm)
        free = found.f_blocks * found.f_frsize
        text = f"{place.shm} has {size(free)}" if free < GIB else ""
        if not text and not os.access(place.shm, os.W_OK):
            text = f"{place.shm} cannot be written to"
    except OSError:
        text = f"{place.shm} is missing"
    if text:
        yield Finding(
            HURTS,
            "shm-size",
            f"{text}: procession needs none of it; torch's data loaders and named shared memory end by SIGBUS "
            "when it is full.",
            "docker run --shm-size=8g",
        )


@check("refused-calls", "machine")
def refused_calls(place: Surroundings) -> Iterator[Finding]:
    """System calls that the kernel or a sandbox refuses, and that have nothing as good to stand in."""
    from procession.cli.doctor.calls import CALLS, answers

    for name, (level, consequence, _) in CALLS.items():
        if not (place.answers or answers)(name):
            yield Finding(
                level,
                "refused-calls",
                f"The system call {name} is refused here: {consequence}.",
                "a kernel of 5.4 or newer, a newer Docker or libseccomp; docs/sandboxes.md",
            )


@check("open-files", "machine")
def open_files(place: Surroundings) -> Iterator[Finding]:
    """Too few descriptors."""
    count, limit = workers_of(place), place.limits(resource.RLIMIT_NOFILE)
    need = OWN_DESCRIPTORS + EACH_DESCRIPTORS * count
    if 0 <= limit < need:
        yield Finding(
            HURTS,
            "open-files",
            f"This program may open {limit} files, and {count} workers with queues and pipes want some {need}.",
            "ulimit -n 65536",
        )


@check("processes", "machine")
def processes(place: Surroundings) -> Iterator[Finding]:
    """Too few processes."""
    count = workers_of(place)
    need = 4 * count
    for folder in place.groups():
        most, now = place.number("sys", folder, "pids.max"), place.number("sys", folder, "pids.current")
        if most is not None and now is not None and most - now < need:
            yield Finding(
                HURTS,
                "processes",
                f"This control group may have {most} processes and threads and has {now}; {count} workers want "
                f"some {need}.",
                "docker run --pids-limit=4096",
            )
            return
    limit = place.limits(resource.RLIMIT_NPROC)
    if 0 <= limit < need:
        yield Finding(
            HURTS,
            "processes",
            f"This user may have {limit} processes and threads; {count} workers want some {need}.",
            "ulimit -u 4096",
        )


@check("core-dumps", "machine")
def core_dumps(place: Surroundings) -> Iterator[Finding]:
    """Crashes that write the memory of a worker to a disk first."""
    if place.limits(resource.RLIMIT_CORE) != 0 and not place.text("proc", "sys/kernel/core_pattern").startswith(
        "|/bin/false"
    ):
        yield Finding(
            KNOW,
            "core-dumps",
            "Core dumps are on: a worker that crashes has ended when its memory is written down.",
            "ulimit -c 0",
        )


@check("tmpdir", "machine")
def tmpdir(place: Surroundings) -> Iterator[Finding]:
    """A folder for temporary files that sockets do not fit in."""
    folder = place.environ.get("TMPDIR") or tempfile.gettempdir()
    text = ""
    if len(os.fsencode(folder)) > LONGEST_TMPDIR:
        text = f"TMPDIR has {len(os.fsencode(folder))} characters: the addresses of sockets below it are too long"
    elif not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        text = f"TMPDIR={folder} is no folder that can be written to"
    else:
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < 1 << 20:
            text = f"{folder} is full"
    if text:
        yield Finding(FAILS, "tmpdir", f"{text}: managers and listeners cannot start.", "TMPDIR=/tmp")


@check("ptrace", "machine")
def ptrace(place: Surroundings) -> Iterator[Finding]:
    """Yama, which keeps debuggers away."""
    scope = place.number("proc", "sys/kernel/yama/ptrace_scope")
    if scope and os.geteuid() != 0:
        yield Finding(
            KNOW,
            "ptrace",
            f"kernel.yama.ptrace_scope is {scope}: py-spy cannot attach to your workers.",
            "procession stacks, which needs no such right",
        )


@check("clock", "machine")
def clock(place: Surroundings) -> Iterator[Finding]:
    """A clock that is a system call."""
    source = place.text("sys", "devices/system/clocksource/clocksource0/current_clocksource").strip()
    if source in ("tsc", "kvm-clock", "arch_sys_counter", ""):
        return
    began = time.perf_counter_ns()
    for _ in range(20_000):
        time.perf_counter_ns()
    each = (time.perf_counter_ns() - began) / 20_000
    if each > SLOW_CLOCK_NS:
        yield Finding(
            HURTS,
            "clock",
            f"Reading the clock takes {each:.0f} ns, as it is a system call here ({source}): short tasks cost more.",
            "clocksource=tsc on the kernel's command line, where the machine's is stable",
        )


@check("sandbox", "machine")
def sandbox(place: Surroundings) -> Iterator[Finding]:
    """Kernels that are none."""
    version = place.text("proc", "version")
    kind = "gVisor" if "gVisor" in version else "WSL 1" if "Microsoft" in version and "WSL2" not in version else ""
    if kind:
        yield Finding(
            KNOW,
            "sandbox",
            f"This is {kind}: system calls cost several times as much.",
            "larger chunks, fewer processes",
        )
