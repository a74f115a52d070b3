"""Tensors through pools, queues, pipes and torch's DataLoader; prints the same whatever carries them."""

import multiprocessing
import sys

import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, index):
        return torch.full((3,), float(index)), index


def doubled(tensor):
    return tensor * 2


def add_one(tensor):
    tensor += 1


def echo(incoming, outgoing, connection):
    while (tensor := incoming.get(timeout=60)) is not None:
        outgoing.put(tensor + 1)
    connection.send(connection.recv() * 3)
    connection.recv()  # whoever sends a tensor has to live until it has come


def main(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        results = pool.map(doubled, [torch.arange(n) for n in range(5)])
    print("pool", [result.sum().item() for result in results])

    incoming, outgoing = context.Queue(), context.Queue()
    mine, theirs = context.Pipe()
    child = context.Process(target=echo, args=(incoming, outgoing, theirs))
    child.start()
    for n in range(3):
        incoming.put(torch.ones(1000, 10) * n)
    print("queue", [outgoing.get(timeout=60).sum().item() for _ in range(3)])
    incoming.put(None)
    mine.send(torch.eye(3))
    print("pipe", mine.recv().sum().item())
    mine.send("it has come")
    child.join()

    shared = torch.zeros(5).share_memory_()
    children = [context.Process(target=add_one, args=(shared,)) for _ in range(2)]
    for one in children:
        one.start()
        one.join()
    print("shared", shared.tolist(), shared.is_shared())

    loader = DataLoader(Numbers(), batch_size=8, num_workers=2, multiprocessing_context=context)
    for _ in range(2):
        print("loader", [(batch.sum().item(), indexes.tolist()) for batch, indexes in loader])
    loader = DataLoader(Numbers(), batch_size=8, num_workers=2, multiprocessing_context=method, persistent_workers=True)
    for _ in range(2):
        print("loader again", sum(batch.sum().item() for batch, _ in loader))


if __name__ == "__main__":
    main(sys.argv[1])
