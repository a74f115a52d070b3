"""Kernels and sandboxes that refuse a system call: a filter that answers for them, and steps that use all there is.

`python tests/refuse.py CALL ERRNO METHOD [STEP ...]` has the kernel refuse CALL to this process and all that it starts,
runs the steps (all of them by default) and prints a line for each: "ok", or the error. `old_container` is a profile of
several calls.
"""

import ctypes
import errno
import mmap
import os
import platform
import struct
import sys
import time

# Numbers on x86_64 and aarch64 (-1: not there), which argument is looked at, by which mask, for which value.
CALLS = {
    "pidfd_open": (434, 434),
    "waitid_pidfd": (247, 95, 0, 0xFFFFFFFF, 3),
    "pidfd_send_signal": (424, 424),
    "memfd_create": (319, 279),
    "add_seals": (72, 25, 1, 0xFFFFFFFF, 1033),
    "fallocate": (285, 47),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "epoll_pwait": (281, 22),
    "sched_getaffinity": (204, 123),
    "sched_setaffinity": (203, 122),
    "setpriority": (141, 140),
    "prlimit64": (302, 261),
    "madvise_dontfork": (28, 233, 2, 0xFFFFFFFF, 10),
    "madvise_dontdump": (28, 233, 2, 0xFFFFFFFF, 16),
    "madvise_populate": (28, 233, 2, 0xFFFFFFFF, 23),
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "statx": (332, 291),
    "getrandom": (318, 278),
    "set_robust_list": (273, 99),
    "get_seals": (72, 25, 1, 0xFFFFFFFF, 1034),
    "kcmp": (312, 272),
    "membarrier": (324, 283),
    "io_uring_setup": (425, 425),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
}
PROFILES = {
    "old_container": (
        "pidfd_open", "waitid_pidfd", "pidfd_send_signal", "clone3", "close_range", "openat2", "pidfd_getfd", "preadv2",
        "pwritev2", "process_madvise", "io_uring_setup", "kcmp", "membarrier", "statx",
    ),
}  # fmt: skip
# What nothing stands in for: the kernels that are supported have them, and no sandbox is known that does not.
NEEDED = ("eventfd2", "epoll_create1", "epoll_pwait")
LIMIT = 60

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_LOAD, _EQUAL, _AND, _ANSWER = 0x20, 0x15, 0x54, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ARGUMENTS_AT = 16


def program(name, number):
    """Return the filter's instructions that answer a call, or the calls of a profile, with an error number."""
    audit, place = _ARCHITECTURES[platform.machine()]
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), (_ANSWER, 0, 0, _ALLOW)]
    for one in PROFILES.get(name, (name,)):
        call, *argument = CALLS[one][place], *CALLS[one][2:]
        lines.append((_LOAD, 0, 0, 0))
        if argument:
            which, mask, value = argument
            lines += [
                (_EQUAL, 0, 4, call),
                (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * which),
                (_AND, 0, 0, mask),
                (_EQUAL, 0, 1, value),
            ]
        else:
            lines.append((_EQUAL, 0, 1, call))
        lines.append((_ANSWER, 0, 0, _ERRNO | number))
    return [*lines, (_ANSWER, 0, 0, _ALLOW)]


def refuse(name, number):
    """Have the kernel answer the call with the error number, in this process and all that it starts from now on."""
    code = b"".join(struct.pack("HBBI", *line) for line in program(name, number))
    memory = ctypes.create_string_buffer(code)
    filters = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(memory))
    library = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _MODE_FILTER, filters, 0, 0)):
        if library.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


# -- the steps ------------------------------------------------------------------------------------------------------


def double(number):
    return 2 * number


def leave(number):
    sys.exit(number)


def put(queue, value):
    queue.put(value)


def add(lock, value):
    for _ in range(100):
        with lock:
            value.value += 1


def answer(end):
    end.send(end.recv() * 2)


def die(number):
    if number == 1:
        os.kill(os.getpid(), 9)
    return number


def sleep(seconds):
    time.sleep(seconds)


def total(data):
    return len(data), data[-1:]


def write(name):
    from procession import shared_memory

    segment = shared_memory.SharedMemory(name)
    segment.buf[0] = 7
    segment.close()


def extend(names):
    names.append("child")


def process(ctx):
    for status in (0, 3):
        child = ctx.Process(target=leave, args=(status,))
        child.start()
        child.join()
        assert child.exitcode == status, child.exitcode
    child = ctx.Process(target=sleep, args=(60,))
    child.start()
    assert child.is_alive() and child.exitcode is None
    child.terminate()
    child.join()
    assert child.exitcode == -15, child.exitcode


def pool(ctx):
    with ctx.Pool(2) as workers:
        assert workers.map(double, range(100)) == list(range(0, 200, 2))
        assert workers.apply(double, (4,)) == 8


def queue(ctx):
    channel = ctx.Queue()
    child = ctx.Process(target=put, args=(channel, list(range(1000))))
    child.start()
    assert channel.get(timeout=LIMIT) == list(range(1000))
    child.join()
    assert child.exitcode == 0, child.exitcode


def lock(ctx):
    guard, value = ctx.Lock(), ctx.Value("i", 0, lock=False)
    children = [ctx.Process(target=add, args=(guard, value)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert value.value == 200, value.value


def pipe(ctx):
    for duplex in (True,):
        ours, theirs = ctx.Pipe(duplex)
        child = ctx.Process(target=answer, args=(theirs,))
        child.start()
        theirs.close()
        ours.send(b"ab" * 3_000_000)
        assert len(ours.recv()) == 12_000_000
        child.join()
    reader, writer = ctx.Pipe(False)
    writer.send("ab")
    assert reader.recv() == "ab"


def killed_worker(ctx):
    import procession

    with ctx.Pool(2) as workers:
        tasks = [workers.apply_async(die, (number,)) for number in range(4)]
        outcomes = []
        for task in tasks:
            try:
                outcomes.append(task.get(LIMIT))
            except procession.WorkerDied as died:
                assert "SIGKILL" in str(died), died
                outcomes.append(None)
        assert outcomes == [0, None, 2, 3], outcomes


def deadline(ctx):
    import procession

    with ctx.Pool(1) as workers:
        try:
            workers.apply_async(sleep, (60,), timeout=0.1).get(LIMIT)
        except procession.TaskTimeout:
            pass
        else:
            raise AssertionError("no TaskTimeout")
        assert workers.apply(double, (1,)) == 2


def payload(ctx):
    data = bytes(8 << 20) + b"x"
    with ctx.Pool(1) as workers:
        assert workers.apply(total, (data,)) == (len(data), b"x")
        assert len(workers.apply(double, (data,))) == 2 * len(data)


def options(ctx):
    with ctx.Pool(2, maxtasksperchild=5, nice=1, max_memory="4GiB", forward_logs=True) as workers:
        assert workers.map(double, range(20), chunksize=1) == list(range(0, 40, 2))


def dump_stacks(ctx):
    with ctx.Pool(1) as workers:
        task = workers.apply_async(sleep, (60,))
        until = time.monotonic() + LIMIT
        while "in sleep" not in (text := workers.dump_stacks()) and time.monotonic() < until:
            pass
        assert "in sleep" in text, text
        del task


def named_memory(ctx):
    from procession import shared_memory

    segment = shared_memory.SharedMemory(create=True, size=mmap.PAGESIZE)
    try:
        child = ctx.Process(target=write, args=(segment.name,))
        child.start()
        child.join()
        assert (child.exitcode, segment.buf[0]) == (0, 7)
    finally:
        segment.close()
        segment.unlink()


def manager(ctx):
    with ctx.Manager() as server:
        names = server.list(["parent"])
        child = ctx.Process(target=extend, args=(names,))
        child.start()
        child.join()
        assert list(names) == ["parent", "child"]


STEPS = (
    process, pool, queue, lock, pipe, killed_worker, deadline, payload, options, dump_stacks, named_memory, manager,
)  # fmt: skip


def main(call, number, method, *names):
    import procession

    if call != "none":
        refuse(call, getattr(errno, number))
    ctx = procession.get_context(method)
    for step in STEPS:
        if names and step.__name__ not in names:
            continue
        try:
            step(ctx)
        except BaseException as error:
            causes = []
            while error is not None:
                causes.append(f"{type(error).__name__}: {error}")
                error = error.__cause__
            print(step.__name__, "error", " <- ".join(causes).replace("\n", " | "), flush=True)
        else:
            print(step.__name__, "ok", flush=True)


# What names a call in an error, where it is not the call's own name.
WORDS = {"setpriority": "nice", "madvise_dontfork": "madvise", "clone3": "clone3", "old_container": "clone3"}


def every(*calls):
    """Run all steps for all calls, or these; print outcomes that are neither "ok" nor an error that names the call."""
    import subprocess

    wrong = 0
    for call in calls or [*CALLS, *PROFILES]:
        word = WORDS.get(call, call.rstrip("12").split("_pidfd")[0])
        for number in ("ENOSYS", "EPERM", "EINVAL"):
            if number == "EINVAL" and (call in NEEDED or call in ("clone3", "getrandom", *PROFILES)):
                continue  # no filter and no emulator is known to say so; with getrandom, os.urandom raises it of itself
            for method in ("fork", "spawn", "forkserver"):
                command = [sys.executable, "-W", "ignore", __file__, call, number, method]
                try:
                    run = subprocess.run(command, capture_output=True, text=True, timeout=5 * LIMIT)
                except subprocess.TimeoutExpired as expired:
                    lines = [f"hangs, after {expired.stdout}"]
                else:
                    lines = [line for line in run.stdout.splitlines() if not line.endswith(" ok")]
                    lines = [line for line in lines if word not in line]
                    if len(run.stdout.splitlines()) != len(STEPS):
                        lines.append(f"ended early: {run.stderr}")
                print(call, number, method, "; ".join(lines) or "as it should be", flush=True)
                wrong += bool(lines)
    return wrong


if __name__ == "__main__":
    if sys.argv[1] == "every":
        sys.exit(min(every(*sys.argv[2:]), 1))
    main(*sys.argv[1:])
