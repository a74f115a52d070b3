import procession as multiprocessing


def print_number(num):
    print(f"Process {num}: {num}")


if __name__ == "__main__":
    processes = []
    for i in range(1, 5):
        p = multiprocessing.Process(target=print_number, args=(i,))
        processes.append(p)
        p.start()
    for p in processes:
        p.join()
