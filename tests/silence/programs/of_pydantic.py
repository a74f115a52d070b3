"""pydantic: models as arguments and results."""

import sys

import procession as multiprocessing
import pydantic


class Settings(pydantic.BaseModel):
    name: str
    limits: list[int] = [1, 2]


def raised(settings):
    return settings.model_copy(update={"limits": [limit + 1 for limit in settings.limits]})


if __name__ == "__main__":
    all_settings = [Settings(name=name) for name in "abc"]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(raised, all_settings) == [raised(settings) for settings in all_settings]
