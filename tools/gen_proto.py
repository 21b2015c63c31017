"""Generate `twofold.proto` from etcd's published API module.

Usage: python tools/gen_proto.py

The .proto files come from the Go module below, through the ordinary `go` client,
into a scratch directory. Comments and the options of other tools (gateway,
OpenAPI, version annotations) are dropped: they would pull in packages that
nothing here needs, and names, numbers and types do not depend on them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "go.etcd.io/etcd/api/v3@v3.7.3"
SOURCES = {
    "mvccpb/kv.proto": "kv.proto",
    "authpb/auth.proto": "auth.proto",
    "etcdserverpb/rpc.proto": "rpc.proto",
}
PACKAGE = Path("twofold/proto")
ROOT = Path(__file__).resolve().parent.parent / "src"

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_BRACED_OPTION = re.compile(r"\boption\s*\([^)]*\)[\w.]*\s*=\s*\{")
_PLAIN_OPTION = re.compile(r"\boption\s+[^;{]*;")
_FIELD_OPTION = re.compile(r"\s*\[\s*\([^\]]*\]")
_IMPORT = re.compile(r'^\s*import\s+"([^"]+)"\s*;[^\n]*$', re.MULTILINE)


def strip_comments(text: str) -> str:
    """Drop comments, but not what looks like one inside a string."""
    return _TOKEN.sub(lambda match: match[0] if match[0].startswith('"') else " ", text)


def strip_options(text: str) -> str:
    """Drop options of files, messages, fields and methods."""
    while (match := _BRACED_OPTION.search(text)) is not None:
        end = _closing_brace(text, match.end() - 1) + 1
        while end < len(text) and text[end] in "; ":
            end += 1
        text = text[: match.start()] + text[end:]
    return _FIELD_OPTION.sub("", _PLAIN_OPTION.sub("", text))


def _closing_brace(text: str, opening: int) -> int:
    depth = 0
    for token in re.finditer(r'"(?:\\.|[^"\\])*"|[{}]', text[opening:]):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return opening + token.start()
    raise ValueError("unbalanced braces")


def relocate_imports(text: str) -> str:
    """Point the imports that we keep at our own package, drop the others."""

    def relocate(match: re.Match[str]) -> str:
        name = Path(match[1]).name
        if match[1].startswith("etcd/api/") and name in SOURCES.values():
            return f'import "{PACKAGE}/{name}";'
        return ""

    return _IMPORT.sub(relocate, text)


def module_directory(scratch: Path) -> Path:
    """Download the module (or find it in Go's cache)."""
    (scratch / "go.mod").write_text("module scratch\n")
    done = subprocess.run(
        ["go", "mod", "download", "-json", MODULE],
        cwd=scratch,
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(json.loads(done.stdout)["Dir"])


def main() -> int:
    """Regenerate everything; the exit code is protoc's."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        origin = module_directory(scratch)
        target = scratch / "in" / PACKAGE
        target.mkdir(parents=True)
        for source, local in SOURCES.items():
            text = strip_comments((origin / source).read_text())
            text = relocate_imports(strip_options(text))
            (target / local).write_text(text)
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"--proto_path={scratch / 'in'}",
                f"--plugin=protoc-gen-mypy={Path(sys.executable).parent}"
                "/protoc-gen-mypy",
                f"--python_out={ROOT}",
                f"--mypy_out={ROOT}",
                *(str(target / local) for local in SOURCES.values()),
            ],
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
