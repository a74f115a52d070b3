"""A system that has too little of something."""

import errno
import os
import resource

from benches.faults.situations import alone, situation, works

LIMIT_S = 60


def open_files(_):
    """Returns how many descriptors the worker has."""
    return len(os.listdir("/proc/self/fd"))


@situation
def no_more_descriptors(ctx):
    """Making a pool fails with EMFILE or works; afterwards, with descriptors again, everything does."""
    with ctx.Pool(1) as pool:  # what is started once is there
        works(pool)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    for room in (0, 1, 2, 3, 5, 8, 12):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + room, hard))
        try:
            with ctx.Pool(2) as pool:
                works(pool)
        except OSError as error:
            assert error.errno in (errno.EMFILE, errno.ENFILE), repr(error)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ctx.Pool(2) as pool:
        works(pool)


@situation
def descriptors_run_out_while_a_pool_works(ctx):
    """Tasks go on without any."""
    with ctx.Pool(2) as pool:
        works(pool)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
            while True:
                try:
                    held.append(os.dup(0))
                except OSError:
                    break
            works(pool)
            data = [bytes(200_000)] * 20
            assert pool.map(len, data, 1) == [200_000] * 20
            assert pool.map(bytes, [200_000] * 20, 1) == data
            assert sum(pool.imap_unordered(abs, range(1000))) == 499_500
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@situation
@alone
def no_more_processes(ctx):
    """Making a pool fails with EAGAIN where it is this process that forks; afterwards everything works again."""
    with ctx.Pool(1) as pool:
        works(pool)
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.getuid() == 0:
        os.setresuid(65534, 65534, 0)  # the limit does not hold for root
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
        with ctx.Pool(2) as pool:
            works(pool)
        assert ctx.get_start_method() == "forkserver"
    except OSError as error:
        assert error.errno in (errno.EAGAIN, errno.EACCES, errno.EPERM), repr(error)
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        if os.getresuid()[2] == 0:
            os.setresuid(0, 0, 0)
    with ctx.Pool(2) as pool:
        works(pool)


def big_result(megabytes):
    """Returns so many bytes."""
    return bytes(megabytes << 20)


def limit_own_files():
    """Allows the worker no file, and so no memory to share, beyond 16 MB."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))


@situation
def no_space_for_a_large_result(ctx):
    """The task fails with an error, not by a SIGBUS; small results go on."""
    with ctx.Pool(2, limit_own_files) as pool:
        works(pool)
        result = pool.apply_async(big_result, (64,))
        try:
            assert len(result.get(LIMIT_S)) == 64 << 20
        except Exception as error:
            assert "SIGBUS" not in str(error), error
        works(pool)


@situation
@alone
def no_space_for_a_large_argument(ctx):
    """The call fails with an error, or goes another way; small ones go on."""
    import signal

    with ctx.Pool(2) as pool:
        works(pool)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            assert pool.apply_async(len, (bytes(64 << 20),)).get(LIMIT_S) == 64 << 20
        except OSError as error:
            assert error.errno in (errno.EFBIG, errno.ENOSPC, errno.ENOMEM), repr(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        works(pool)
        assert pool.apply_async(len, (bytes(64 << 20),)).get(LIMIT_S) == 64 << 20


@situation
def little_address_space(ctx):
    """Whatever fails, fails with an error at the call."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, hard))
    try:
        with ctx.Pool(2) as pool:
            works(pool)
    except (OSError, MemoryError) as error:
        assert getattr(error, "errno", errno.ENOMEM) in (errno.ENOMEM, errno.EAGAIN), repr(error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    with ctx.Pool(2) as pool:
        works(pool)


@situation
@alone
def a_single_cpu(ctx):
    """Everything works when parent and workers share one CPU."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with ctx.Pool(4) as pool:
        for _ in range(5):
            assert pool.map(abs, range(5000)) == list(range(5000))
        assert [pool.apply(abs, (-n,)) for n in range(500)] == list(range(500))
        assert sum(pool.imap_unordered(abs, range(2000))) == 1_999_000


@situation
@alone
def no_shared_memory_file_system(ctx):
    """Nothing needs /dev/shm unless the user names a segment."""
    if os.getuid() != 0 or _hide_shm() != 0:
        return  # needs a mount namespace of its own
    assert not os.path.ismount("/dev/shm")
    lock, queue, event = ctx.Lock(), ctx.Queue(), ctx.Event()
    with ctx.Pool(2) as pool:
        works(pool)
        assert pool.map(len, [bytes(1 << 20)] * 4) == [1 << 20] * 4
    child = ctx.Process(target=_use_all, args=(lock, queue, event))
    child.start()
    assert queue.get(timeout=LIMIT_S) == "from the child"
    assert event.wait(LIMIT_S)
    child.join(LIMIT_S)
    assert child.exitcode == 0


def _use_all(lock, queue, event):
    with lock:
        queue.put("from the child")
        event.set()


def _hide_shm():
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, recursive_private, detach = 0x20000, 0x44000, 2
    if libc.unshare(new_mounts) or libc.mount(None, b"/", None, recursive_private, None):
        return 1
    while os.path.ismount("/dev/shm"):
        if libc.umount2(b"/dev/shm", detach):
            return 1
    return 0
