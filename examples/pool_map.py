import procession as multiprocessing


def worker(num):
    print(f"Worker {num}")


if __name__ == "__main__":
    # Create a pool of 4 worker processes
    with multiprocessing.Pool(processes=4) as pool:
        # Submit tasks to the pool
        pool.map(worker, range(4))
