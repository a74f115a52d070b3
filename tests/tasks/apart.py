"""Several small cases in one program: each has variables of its own."""

import ast
import re


def apart(number, *texts):
    """Return texts of a program in which whatever they define at their top bears a number.

    Args:
        number: of the case.
        *texts: statements of the case; what else there is may use the names, and cannot be parsed: an expected message.

    Returns:
        The texts, in a list.
    """
    own = set()
    for text in texts:
        try:
            statements = ast.parse(text).body
        except SyntaxError:
            continue
        for statement in statements:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                own.add(statement.name)
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                own |= {alias.asname for alias in statement.names if alias.asname}
            elif isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
                own |= {node.id for node in ast.walk(statement) if _is_stored(node)}
    if not own:
        return list(texts)
    names = re.compile(rf"\b({'|'.join(sorted(own))})\b")
    return [names.sub(rf"\1_{number}", text) for text in texts]


def _is_stored(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def told_apart(cases, use, parts):
    """Return the parts of one program that tries cases in turn, and says in its errors which comes.

    Args:
        cases: names of cases.
        use: statements that use what all define, unless a case has its own.
        parts: from a name of a case to what stands at the top, what changes under the guard, what then uses it (or
            None for `use`), and what is expected.

    Returns:
        What stands at the top, what stands under the guard, and what is expected of each case.
    """
    tops, guarded, expected = [], ["import sys"], []
    for number, case in enumerate(cases):
        top, changes, own, wanted = parts(case)
        top, changes, then, wanted = apart(number, top, changes, own or use, wanted)
        tops.append(top)
        guarded += [f"print({MARK + case!r}, file=sys.stderr, flush=True)", changes, then]
        expected.append(wanted)
    return "\n".join(tops), "\n".join(guarded), expected


MARK = "next: "


def by_case(stderr):
    """Return the lines that came after the mark of each case, in a list for each."""
    return [part.splitlines()[1:] for part in ("\n" + stderr).split("\n" + MARK)[1:]]
