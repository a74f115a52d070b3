"""distributed's cluster of local processes, whose nannies start and watch workers by `multiprocessing`."""

import os
import signal
import time

import distributed
import pytest

LIMIT_S = 30


def pid_of_worker():
    return os.getpid()


def double(number):
    return 2 * number


def fail():
    raise KeyError("as it should")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


@pytest.fixture(params=["spawn", "forkserver"])
def client(request):
    import dask

    with (
        dask.config.set({"distributed.worker.multiprocessing-method": request.param}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_tasks_run_in_workers(client):
    assert client.gather(client.map(double, range(20))) == [2 * n for n in range(20)]
    assert os.getpid() not in client.run(pid_of_worker).values()


def test_an_exception_comes_back(client):
    with pytest.raises(KeyError):
        client.submit(fail).result(timeout=LIMIT_S)


def test_lambdas_travel(client):
    assert client.submit(lambda number: number + 1, 1).result(timeout=LIMIT_S) == 2


def test_a_killed_worker_is_replaced(client):
    before = client.run(pid_of_worker)
    address = min(before)
    os.kill(before[address], signal.SIGKILL)
    wait_for(lambda: len({*client.scheduler_info()["workers"]} - {address}) == 2)
    assert client.submit(double, 4).result(timeout=LIMIT_S) == 8


def test_a_task_that_kills_its_worker_is_given_up(client):
    with pytest.raises(distributed.KilledWorker):
        client.submit(die).result(timeout=LIMIT_S)


def test_a_restart_gives_new_workers(client):
    before = set(client.run(pid_of_worker).values())
    client.restart()
    client.wait_for_workers(2, timeout=LIMIT_S)
    assert not before & set(client.run(pid_of_worker).values())


def test_workers_come_and_go(client):
    client.cluster.scale(3)
    client.wait_for_workers(3, timeout=LIMIT_S)
    client.cluster.scale(1)
    wait_for(lambda: len(client.scheduler_info()["workers"]) == 1)


def test_nobody_is_left_when_the_cluster_ends(client):
    pids = list(client.run(pid_of_worker).values())
    client.cluster.close()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
