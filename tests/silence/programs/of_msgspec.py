"""msgspec: structures as arguments and results, and encoders made at import."""

import sys

import msgspec
import procession as multiprocessing


class Order(msgspec.Struct):
    number: int
    items: list[str]


ENCODER = msgspec.json.Encoder()


def encoded(order):
    return ENCODER.encode(order), Order(order.number + 1, order.items)


if __name__ == "__main__":
    orders = [Order(number, ["bolt"] * number) for number in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(encoded, orders) == [encoded(order) for order in orders]
