"""Runs a program that knows what the programs before it defined. It runs inside the sandbox, as
whoever wrote the program: nothing outside depends on it.

The program comes by standard input. What is kept, in a file of the working folder: imports, functions
and classes as their source, and of the other names those whose values can be pickled.
"""

import ast
import contextlib
import io
import linecache
import os
import pickle
import sys
import traceback
import types

KEPT = ".python-state"
# Bytes of all values together.
LIMIT = 20_000_000
NAME = "<program>"


def restored(space):
    """Puts what was kept into a namespace; the imports, and the sources by name, come back."""
    if "reset" in sys.argv[1:]:
        with contextlib.suppress(FileNotFoundError):
            os.remove(KEPT)
    try:
        with open(KEPT, "rb") as file:
            imports, sources, values = pickle.load(file)
    except FileNotFoundError:
        return [], {}
    except Exception as err:
        print("[what earlier programs defined cannot be read: %s]" % err)
        return [], {}

    def run(source):
        # What a definition prints was printed when it was first made.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            exec(compile(source, NAME, "exec"), space)

    for source in imports:
        run(source)
    # Values may need the classes, and defaults of arguments the values.
    for again in range(2):
        for name, source in sources.items():
            if name not in space:
                run(source)
        for name, value in values.items():
            if name not in space:
                with contextlib.suppress(Exception):
                    space[name] = pickle.loads(value)
    return imports, sources


def definitions(tree, space, imports, sources):
    """Adds what a program imported and defined to what was kept."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            source = ast.unparse(node)
            if source not in imports:
                imports.append(source)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name in space:
            sources[node.name] = ast.unparse(node)
    for name in [name for name in sources if name not in space]:
        del sources[name]


class Bounded(io.BytesIO):
    """Takes no more than it is told to: what is too large is not even made."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def write(self, data):
        self.left -= memoryview(data).nbytes
        if self.left < 0:
            raise OverflowError
        return super().write(data)


def pickled(value, left):
    """Its bytes; nothing if it cannot be pickled, or has more than are left."""
    # Arrays are copied before anything of them is written.
    if isinstance(size := getattr(value, "nbytes", 0), int) and size > left:
        return None
    bounded = Bounded(left)
    try:
        pickle.Pickler(bounded).dump(value)
    except Exception:
        return None
    return bounded.getvalue()


def keep(space, imports, sources):
    values, lost, left = {}, [], LIMIT
    for name, value in space.items():
        is_defined = name in sources and getattr(value, "__module__", None) == "__main__"
        if name.startswith("_") or is_defined or isinstance(value, types.ModuleType):
            continue
        sources.pop(name, None)
        kept = pickled(value, left)
        if kept is None:
            lost.append(name)
            continue
        left -= len(kept)
        values[name] = kept
    with open(KEPT + ".new", "wb") as file:
        pickle.dump((imports[-200:], sources, values), file)
    os.replace(KEPT + ".new", KEPT)
    if lost:
        more = " and more" if len(lost) > 10 else ""
        print("[not kept for the next program: %s%s]" % (", ".join(lost[:10]), more))


def main():
    source = sys.stdin.read()
    program = types.ModuleType("__main__")
    space = program.__dict__
    sys.modules["__main__"] = program
    imports, sources = restored(space)
    sys.argv[:] = ["-"]
    linecache.cache[NAME] = (len(source), None, source.splitlines(True), NAME)
    process, status = os.getpid(), 0
    tree = None
    try:
        tree = ast.parse(source, NAME)
        exec(compile(tree, NAME, "exec"), space)
    except SystemExit as end:
        status = end.code
    except BaseException as err:
        # Without the frame that stands here.
        inner = err.__traceback__.tb_next if tree else None
        traceback.print_exception(type(err), err, inner)
        status = 1
    if tree and os.getpid() == process:
        try:
            definitions(tree, space, imports, sources)
            keep(space, imports, sources)
        except OSError as err:
            print("[nothing is kept for the next program: %s]" % err)
    sys.exit(status)


main()
