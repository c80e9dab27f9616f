"""No signature and no help text of the package shows the environment of the process."""

import os
import subprocess
import sys

CANARY = "canary-of-a-private-key"

# What `inspect.signature` and `help` print of each function and class of each module.
PRINTS_ALL = """
import importlib, inspect, pkgutil, pydoc
import asapfn

modules = [asapfn]
for module in pkgutil.walk_packages(asapfn.__path__, "asapfn."):
    modules.append(importlib.import_module(module.name))
for module in modules:
    print("module", module.__name__)
    print(pydoc.render_doc(module, renderer=pydoc.plaintext))
    for name, value in vars(module).items():
        if not callable(value):
            continue
        try:
            print(name, inspect.signature(value))
        except (TypeError, ValueError):
            pass
"""


def test_no_signature_or_help_of_the_package_prints_the_environment() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PRINTS_ALL],
        capture_output=True,
        text=True,
        env={**os.environ, "ASAP_PRIVATE_KEY": CANARY, "PYTHONIOENCODING": "utf-8"},
        check=True,
    )
    printed = [line for line in ran.stdout.splitlines() if CANARY in line]
    assert [line[:60] for line in printed] == []
    assert "module asapfn.asap.environment\n" in ran.stdout
    assert "signer_from_env (environ: " in ran.stdout
