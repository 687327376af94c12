"""Tells where the interpreter that runs this lies: `python -s -c THIS`."""

import importlib.metadata
import json
import os
import sys

real = os.path.realpath
prefixes = {real(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)}
# Of what a .pth file adds, only what belongs to the interpreter: the rest are somebody's own folders.
path = [real(entry) for entry in sys.path if entry and os.path.exists(entry)]
path = [entry for entry in path if any(entry.startswith(prefix + os.sep) for prefix in prefixes)]
release = f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}".replace("cpython", "CPython")
try:
    release += f" with sympy {importlib.metadata.version('sympy')}"
except importlib.metadata.PackageNotFoundError:
    release += " without sympy"
libraries = [os.path.join(prefix, name) for prefix in prefixes for name in ("lib", "lib64")]
print(
    json.dumps(
        {
            "version": list(sys.version_info[:2]),
            "release": release,
            "executable": real(getattr(sys, "_base_executable", None) or sys.executable),
            "path": path,
            "roots": sorted({real(root) for root in libraries if os.path.isdir(root)} | set(path)),
        }
    )
)
