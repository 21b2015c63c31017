"""Style that no linter knows: sizes, the ban list, docstrings of packages.

Run as a test (`tests/unit/tools/test_tidy.py`) and by hand
(``python tools/tidy.py``). An exception needs a reason in ``EXCEPTIONS``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "tools", "bench")

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 88
PUBLIC_METHODS_MAX = 20
PACKAGE_DOCSTRING_LINES_MAX = 15

# (path, rule) -> reason. Generated code is left out altogether.
EXCEPTIONS: dict[tuple[str, str], str] = {}
GENERATED = ("src/twofold/proto/",)


@dataclass(frozen=True)
class Ban:
    """A pattern that may not occur, where, and what to write instead."""

    rule: str
    pattern: re.Pattern[str]
    instead: str
    under: tuple[str, ...] = ("src/", "tests/", "tools/", "bench/")
    but_not: tuple[str, ...] = ()


BANS = (
    Ban(
        "no-mock",
        re.compile(r"unittest\.mock|from unittest import mock|mock\.patch"),
        "a fake given through the constructor",
    ),
    Ban(
        "no-patch",
        re.compile(r"monkeypatch\.(setattr|setitem|delattr)"),
        "a port given through the constructor",
    ),
    Ban(
        "no-sleep",
        re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))"),
        "virtual time, or an event to wait for",
        under=("tests/unit/", "tests/interaction/"),
    ),
    Ban(
        "no-broad-except",
        re.compile(r"except\s*(:|\(?\s*(Exception|BaseException)\b)"),
        "the exceptions you mean; supervision is in base/tasks.py",
        under=("src/",),
        but_not=("src/twofold/base/tasks.py",),
    ),
    Ban(
        "no-global-random",
        re.compile(r"\brandom\.(random|randint|choice|shuffle|seed)\("),
        "a random.Random of your own, with a seed",
    ),
    Ban(
        "no-wall-clock-in-tests",
        re.compile(r"\bdatetime\.now\(|\btime\.time\("),
        "a time that the test chooses",
        under=("tests/unit/", "tests/interaction/", "tests/simulation/"),
    ),
)

_PRAGMA = re.compile(r"\s+# (noqa|type: ignore).*$")

# The simulator and the harness are test code that happens to be installed.
TEST_CODE = ("tests/", "src/twofold/testing/")

# The rules' own texts and tests name what they ban.
SELF = ("tools/tidy.py", "tests/unit/tools/test_tidy.py")


@dataclass(frozen=True, order=True)
class Finding:
    """One place that breaks one rule."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        """One line, as compilers print it."""
        return f"{self.path}:{self.line}: [{self.rule}] {self.text}"


def check_sizes(path: str, text: str) -> Iterator[Finding]:
    """Ceilings of file and line length."""
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield Finding(
            path, 1, "file-size", f"{len(lines)} lines, at most {FILE_LINES_MAX}"
        )
    for number, line in enumerate(lines, 1):
        # What speaks to the linter alone does not count, as with the linter.
        if len(_PRAGMA.sub("", line)) > LINE_COLUMNS_MAX:
            yield Finding(
                path,
                number,
                "line-length",
                f"{len(line)} columns, at most {LINE_COLUMNS_MAX}",
            )


def check_bans(path: str, text: str) -> Iterator[Finding]:
    """The ban list, comments left out."""
    if path in SELF:
        return
    for ban in BANS:
        if not path.startswith(ban.under) or path in ban.but_not:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            code = line.split("  #")[0]
            if not code.lstrip().startswith("#") and ban.pattern.search(code):
                yield Finding(path, number, ban.rule, f"use {ban.instead}")


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without decorators and docstring."""
    end = node.end_lineno or node.lineno
    total = end - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def check_tree(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Ceilings of functions and classes; where errors and asserts belong."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = body_lines(node)
            if lines > FUNCTION_LINES_MAX:
                yield Finding(
                    path,
                    node.lineno,
                    "function-size",
                    f"{node.name}: {lines} lines, at most {FUNCTION_LINES_MAX}",
                )
        elif isinstance(node, ast.ClassDef):
            yield from check_class(path, node)
        elif isinstance(node, ast.Assert) and _is_product(path):
            yield Finding(
                path,
                node.lineno,
                "no-assert",
                "use check() of base.invariant; it stays on in production",
            )


def _is_product(path: str) -> bool:
    return path.startswith("src/") and not path.startswith(TEST_CODE)


def check_class(path: str, node: ast.ClassDef) -> Iterator[Finding]:
    """Not too many public methods; errors grow from base.errors."""
    public = [
        item.name
        for item in node.body
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef))
        and not item.name.startswith("_")
    ]
    # A test class or a table of handlers is a list, not an interface.
    if len(public) > PUBLIC_METHODS_MAX and path.startswith("src/"):
        yield Finding(
            path,
            node.lineno,
            "class-size",
            f"{node.name}: {len(public)} public methods, at most {PUBLIC_METHODS_MAX}",
        )
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    if (
        _is_product(path)
        and path != "src/twofold/base/errors.py"
        and bases & {"Exception", "BaseException", "RuntimeError", "ValueError"}
        and len(bases) == 1
    ):
        yield Finding(
            path,
            node.lineno,
            "error-root",
            f"{node.name} must derive from base.errors",
        )


def check_docstring(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Each module says what it is; a package's docstring stays short."""
    if path.startswith("tests/"):
        return  # A test module's name says what it tests, its tests say the rules.
    if not tree.body:
        if path.startswith("src/"):
            yield Finding(path, 1, "docstring", "an empty file; say what lives here")
        return
    text = ast.get_docstring(tree)
    if text is None:
        yield Finding(path, 1, "docstring", "the module has no docstring")
        return
    lines = len(text.splitlines())
    if path.endswith("__init__.py") and lines > PACKAGE_DOCSTRING_LINES_MAX:
        yield Finding(
            path,
            1,
            "docstring",
            f"{lines} lines, at most {PACKAGE_DOCSTRING_LINES_MAX} for a package",
        )


def check_text(path: str, text: str) -> list[Finding]:
    """All findings in one file, given its path from the root."""
    tree = ast.parse(text, path)
    found = [
        *check_sizes(path, text),
        *check_bans(path, text),
        *check_tree(path, tree),
        *check_docstring(path, tree),
    ]
    return sorted(f for f in found if (f.path, f.rule) not in EXCEPTIONS)


def check_names(paths: list[str]) -> Iterator[Finding]:
    """Tests are found by file, so a package marker there only hides names."""
    for path in paths:
        if path.startswith("tests/") and path.endswith("__init__.py"):
            yield Finding(path, 1, "test-layout", "tests are no packages; delete it")


def sources(root: Path) -> list[str]:
    """The Python files under our rules, from the root."""
    found = [
        path.relative_to(root).as_posix()
        for folder in FOLDERS
        for path in (root / folder).rglob("*.py")
    ]
    return sorted(path for path in found if not path.startswith(GENERATED))


def check_all(root: Path) -> list[Finding]:
    """All findings in the repository at ``root``."""
    paths = sources(root)
    found = list(check_names(paths))
    for path in paths:
        found += check_text(path, (root / path).read_text())
    return sorted(found)


def main() -> int:
    """Print the findings; 1 if there are any."""
    found = check_all(ROOT)
    for finding in found:
        print(finding)
    print(f"tidy: {len(found)} findings in {len(sources(ROOT))} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
