"""Tasks that read context variables of their caller."""

import procession

tenant = procession.context_var("tenant", default="nobody")
trace = procession.context_var("trace")


def read(_):
    """Give what is set, and set something, which stays here."""
    found = tenant.get(), trace.get(None)
    tenant.set("a task")
    return found


def read_with_seed(_):
    task = procession.current_task()
    return tenant.get(), task.index, task.random.random(), task.function


def read_late(_):
    """Read a variable that is made when it is needed."""
    return procession.context_var(f"late {tenant.get()}", default=0).get()
