"""The objects that a server keeps for its clients.

Two counts hold a referent: the proxies in client processes, and the proxies inside the server itself
(a shared list in a shared list). When both are zero it stays in limbo for a moment, because a proxy may
be on its way: pickled into a queue, or inherited by a child that has not run yet.
"""

import threading
from time import monotonic

from procession._manager.locks import stand_in

LIMBO_S = 2.0
LIMBO_ENTRIES = 64


def public_methods(obj):
    """Return the names of the methods of `obj` that do not begin with an underscore."""
    return [name for name in dir(obj) if name[0] != "_" and callable(getattr(obj, name, None))]


class Referent:
    """One object with what its proxies may do; `used` is what their calls go to, the object itself as a rule."""

    __slots__ = ("exposed", "here", "obj", "remote", "typeids", "used")

    def __init__(self, obj):
        self.obj = obj
        self.used = stand_in(obj)
        self.exposed = frozenset()
        self.typeids = {}
        self.remote = 0
        self.here = 0


class Referents:
    """All objects of a server, by ident."""

    def __init__(self):
        # Re-entrant: garbage collection may drop a proxy of ours at any point in here.
        self._lock = threading.RLock()
        self._held = {}
        self._limbo = {}  # ident -> when it came there; in that order

    def add(self, obj, exposed, typeids):
        """Keep `obj`, count one remote proxy, return its ident; the same object has the same ident."""
        with self._lock:
            ident = f"{id(obj):x}"
            referent = self._held.get(ident)
            if referent is None:
                referent = self._held[ident] = Referent(obj)
            referent.exposed |= frozenset(exposed)
            referent.typeids = {**referent.typeids, **(typeids or {})}
            self._count(ident, referent, 1, 0)
            return ident

    def get(self, ident):
        """Return the Referent; KeyError when there is none (any more)."""
        return self._held[ident]

    def remote(self, ident, change):
        """Count proxies in clients; KeyError when the object is gone."""
        with self._lock:
            self._count(ident, self._held[ident], change, 0)

    def here(self, ident, change):
        """Count proxies inside the server; KeyError when the object is gone."""
        with self._lock:
            self._count(ident, self._held[ident], 0, change)

    def expire(self, now=None):
        """Drop what has been in limbo too long."""
        dropped = []
        with self._lock:
            limit = (monotonic() if now is None else now) - LIMBO_S
            excess = len(self._limbo) - LIMBO_ENTRIES
            for ident, since in list(self._limbo.items()):
                if since > limit and excess <= 0:
                    break
                excess -= 1
                del self._limbo[ident]
                dropped.append(self._held.pop(ident))
        # Their destructors run here, outside the lock.
        dropped.clear()

    def describe(self):
        """Return a line for each object that clients hold, for people."""
        with self._lock:
            held = sorted((ident, referent) for ident, referent in self._held.items() if referent.remote)
        return "\n".join(
            f"  {ident}: {referent.remote} proxies of {str(referent.obj)[:75]}" for ident, referent in held
        )

    def __len__(self):
        """The number of objects that clients hold."""
        with self._lock:
            return sum(referent.remote > 0 for referent in self._held.values())

    def _count(self, ident, referent, remote, here):
        if referent.remote + remote < 0 or referent.here + here < 0:
            raise ValueError(f"more proxies of {ident} given back than there were")
        referent.remote += remote
        referent.here += here
        if referent.remote or referent.here:
            self._limbo.pop(ident, None)
        else:
            self._limbo[ident] = monotonic()
            if len(self._limbo) > LIMBO_ENTRIES:
                self.expire()
