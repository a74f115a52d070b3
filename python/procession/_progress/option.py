"""The option `progress` of a pool's methods."""

from operator import length_hint

from procession._pool.crew import Crew
from procession._progress import wishes
from procession._progress.watched import Watch, Watched

__all__ = ["check", "take"]


def check(value):
    """Raise TypeError, ValueError or ImportError for a value that makes no sense."""
    wishes.check(value)


def take(call, value):
    """Have a map drawn while somebody waits for it; a single call is none, though its pool may have the option."""
    wish = wishes.check(value)
    if call.order == "apply":
        if "progress" in call.pool._further:
            return
        raise TypeError("apply() got an unexpected keyword argument 'progress': only maps have it")
    drawer = wishes.drawer(wish)
    if drawer is None:
        return
    total = length_hint(call.items, -1)
    watch = Watch(drawer, call.function, call.pool._processes, None if total < 0 else total)
    crew = call.pool._crew
    if drawer.is_on_terminal and isinstance(crew, Crew) and crew.has_plain_output:
        from procession._progress import spoken

        watch.hear(spoken.of(crew))
    watched = Watched(watch, call.waits)
    call.begun.append(watched.begin)
    call.ended.append(watch.end)
    call.around.append(watched.begin)
