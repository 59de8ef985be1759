"""Builds an interpreter whose `multiprocessing` is another package: a folder of links to the real one's files.

Promises: nothing of the interpreter is changed or rewritten; its own Lib/multiprocessing is on no path of the prefix,
under -S, -E and -I too, since the prefix is found from the program's place alone.
Not here: what stands in its place (shims/), what runs in it (driver.py).
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# What procession needs at run time, with what those need themselves.
PACKAGES = ("procession", "cloudpickle", "rich", "pygments", "markdown_it", "mdurl")
METHODS = ("fork", "spawn", "forkserver")
ENTRIES = {
    "test_manager": "only_type='manager'",
    "test_misc": "exclude_types=True",
    "test_processes": "only_type='processes'",
    "test_threads": "only_type='threads'",
}
ENTRY = """from test._test_multiprocessing import install_tests_in_module_dict
install_tests_in_module_dict(globals(), {method!r}, {selection})
"""
ASK = (
    "import json, sys, sysconfig; print(json.dumps([sys.base_prefix, sysconfig.get_path('stdlib'), "
    "'%d.%d' % sys.version_info[:2] + sys.abiflags.replace('d', ''), sys.version.split()[0]]))"
)


class SuiteMissing(Exception):
    """The interpreter was installed without its own tests."""


@dataclass(frozen=True)
class Interpreter:
    """A CPython as it is installed."""

    program: Path
    base: Path
    library: Path
    series: str  # "3.13", and "3.13t" for a free-threaded build
    version: str  # "3.13.0"

    @classmethod
    def of(cls, program: str) -> Interpreter:
        """Ask `program`, which may be that of a virtual environment, where its real files are."""
        done = subprocess.run([program, "-S", "-E", "-c", ASK], capture_output=True, text=True, check=True)
        base, library, series, version = json.loads(done.stdout)
        real = Path(base, "bin", f"python{series}").resolve()
        return cls(
            real if real.exists() else Path(program).resolve(),
            Path(base),
            Path(library),
            series,
            version,
        )


def names_needed(suite: Path) -> set[tuple[str, str]]:
    """The (submodule, name) pairs of multiprocessing that `suite` reads while it is imported."""
    nodes = list(at_import(ast.parse(suite.read_bytes()).body))
    needed = {pair for node in nodes for pair in names_read(node)}
    modules = {submodule for submodule, name in needed if not name}
    return needed | {
        (node.value.id, node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Every node below `body` that runs at import: the bodies of functions do not."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(node.decorator_list + node.args.defaults)
        elif not isinstance(node, ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def names_read(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What one node says of multiprocessing: `import a.b`, `from a.b import c`, `a.b.c`."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            package, _, submodule = alias.name.partition(".")
            if package == "multiprocessing" and submodule:
                yield submodule, ""
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        package, _, submodule = node.module.partition(".")
        if package == "multiprocessing":
            for alias in node.names:
                is_module = not submodule and (alias.name.islower() and alias.name not in ("*",))
                yield (alias.name, "") if is_module else (submodule, alias.name)
    elif isinstance(node, ast.Attribute):
        words = ast.unparse(node).split(".")
        if words[0] == "multiprocessing" and all(word.isidentifier() for word in words) and len(words) > 2:
            yield words[1], words[2]


def build(where: Path, interpreter: Interpreter, target: str, site: Path | None = None) -> Path:
    """Make the prefix in the empty folder `where`; the path of its Python.

    `target` is "procession" or "standard"; `site` is the folder that procession is installed in, by default where
    the running interpreter finds it.
    """
    library = ensure(where / interpreter.library.relative_to(interpreter.base))
    program = ensure(where / "bin") / f"python{interpreter.series}"
    shutil.copy2(interpreter.program, program)
    (where / "bin" / "python3").symlink_to(program.name)
    link_all(interpreter.library.parent, library.parent, skip={library.name})
    link_all(interpreter.library, library, skip={"multiprocessing", "site-packages", "test"})
    link_suite(interpreter.library / "test", ensure(library / "test"))
    (library / "site-packages").mkdir()
    (library / "multiprocessing").mkdir()
    shutil.copy(HERE / "driver.py", ensure(where / "driver") / "driver.py")
    shutil.copy(HERE / "shims" / f"{target}.py", library / "multiprocessing" / "__init__.py")
    if target == "standard":
        (library / "_standard_multiprocessing").symlink_to(interpreter.library / "multiprocessing")
        return program
    for package in PACKAGES:
        (library / package).symlink_to(installed(package, site))
    needed = sorted(names_needed(interpreter.library / "test" / "_test_multiprocessing.py"))
    stand_ins = (HERE / "shims" / "stand_ins.py").read_text()
    (library / "_stand_ins.py").write_text(stand_ins.replace("NEEDED = ()", f"NEEDED = {needed!r}"))
    (library / "test" / "__init__.py").unlink()  # of itself empty
    (library / "test" / "__init__.py").write_text("import _stand_ins\n\n_stand_ins.fill_if_lacking()\n")
    return program


def link_suite(source: Path, where: Path) -> None:
    """Link the folder `test`. Some installations lack its packages: their entry points are two lines, made here."""
    if not (source / "_test_multiprocessing.py").exists():
        raise SuiteMissing(f"{source} has no _test_multiprocessing.py: this Python came without its tests")
    link_all(source, where, skip=set())
    for method in METHODS:
        name = f"test_multiprocessing_{method}"
        if (where / name).exists() or (where / f"{name}.py").exists():
            continue
        ensure(where / name).joinpath("__init__.py").touch()
        for module, selection in ENTRIES.items():
            (where / name / f"{module}.py").write_text(ENTRY.format(method=method, selection=selection))


def ensure(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def link_all(source: Path, where: Path, skip: set[str]) -> None:
    """Link every entry of `source` in `where`, but not the caches: what runs here shall not write there."""
    for name in os.listdir(source):
        if name not in skip and name != "__pycache__":
            (where / name).symlink_to(source / name)


def installed(package: str, site: Path | None) -> Path:
    """The folder of an installed package."""
    if site is not None and (site / package).is_dir():
        return site / package
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: run `make install`, or give --site")
    return Path(next(iter(spec.submodule_search_locations)))
