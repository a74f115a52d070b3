"""Values of the interpreter's own types, as items and as results: each function gives its kind's i-th value."""

KINDS = {}


def kind(size=100):
    """Enter a function into `KINDS`.

    Args:
        size: about how many bytes a value takes, so that cells of large values have fewer.
    """

    def enter(function):
        KINDS[function.__name__] = (function, size)
        return function

    return enter


SHARED = {f"key {number}": f"value {number}" for number in range(300)}
TEXT_1K = "x" * 1000
TABLE = {f"name {number}": [number, number * 0.5, str(number)] for number in range(3000)}


@kind()
def none(i):
    return None


@kind()
def boolean(i):
    return i % 3 == 0


@kind()
def small_int(i):
    return i


@kind()
def large_int(i):
    return 10**40 + i


@kind()
def real(i):
    return i * 0.25


@kind()
def complex_number(i):
    return complex(i, -i)


@kind()
def text_10(i):
    return f"{i:010}"


@kind(1000)
def text_1k(i):
    return f"{i:010}" * 100


@kind(100_000)
def text_100k(i):
    return f"{i:010}" * 10_000


@kind(1_000_000)
def text_1m(i):
    return f"{i:010}" * 100_000


@kind()
def text_empty(i):
    return ""


@kind()
def text_wide(i):
    return f"é{i}漢"


@kind()
def bytes_10(i):
    return b"%010d" % i


@kind(1000)
def bytes_1k(i):
    return b"%010d" % i * 100


@kind(10_000)
def bytes_10k(i):
    return b"%010d" % i * 1000


@kind(100_000)
def bytes_100k(i):
    return b"%010d" % i * 10_000


@kind(1_000_000)
def bytes_1m(i):
    return b"%010d" % i * 100_000


@kind(1000)
def bytearray_1k(i):
    return bytearray(b"%010d" % i * 100)


@kind(100_000)
def bytearray_100k(i):
    return bytearray(b"%010d" % i * 10_000)


@kind()
def pair(i):
    return i, str(i)


@kind()
def row(i):
    return i, i * 0.5, f"name {i}", True, None


@kind()
def list_of_ints(i):
    return [i, i + 1, i + 2, i + 3]


@kind()
def list_empty(i):
    return []


@kind(1000)
def list_of_pairs(i):
    return [(number, i * 0.5) for number in range(30)]


@kind(5000)
def list_of_1000_ints(i):
    return list(range(i, i + 1000))


@kind(9000)
def list_of_1000_reals(i):
    return [i * 0.5 + number for number in range(1000)]


@kind(900_000)
def list_of_100k_reals(i):
    return [i * 0.5 + number for number in range(100_000)]


@kind(10_000)
def list_of_texts(i):
    return [f"word {i} {number}" for number in range(500)]


@kind()
def dict_small(i):
    return {"id": i, "name": f"name {i}", "score": i * 0.5}


@kind(10_000)
def dict_of_500(i):
    return {f"key {number}": i + number for number in range(500)}


@kind(3000)
def dict_by_pair(i):
    return {(i, number): number * 0.5 for number in range(50)}


@kind()
def set_small(i):
    return {i, i + 1, i + 2}


@kind()
def frozenset_small(i):
    return frozenset((i, "a", "b"))


@kind(300)
def nested(i):
    return {"id": i, "tags": ["a", "b", str(i)], "where": {"x": i * 0.5, "y": (i, i)}, "more": [{"k": 1}, {"k": 2}]}


@kind(2000)
def records(i):
    return [{"id": i + number, "name": f"name {number}"} for number in range(20)]


@kind(3000)
def tree(i):
    found = {"leaf": i}
    for number in range(20):
        found = {"at": number, "below": [found, {"leaf": number}]}
    return found


@kind()
def a_range(i):
    return range(i, i + 10)


@kind()
def a_slice(i):
    return slice(i, i + 10, 2)


@kind()
def ellipsis(i):
    return ...


@kind()
def not_implemented(i):
    return NotImplemented


@kind(1000)
def equal_text_1k(i):
    return TEXT_1K


@kind(10_000)
def shared_dict(i):
    return SHARED


@kind(10_000)
def shared_dict_and_number(i):
    return i, SHARED


@kind(200_000)
def shared_table_and_number(i):
    return i, TABLE
