"""`asapfn.testing` in a process of its own, which has nothing else."""

import subprocess
import sys

OFFLINE = """
import sys
for name in ("pytest", "unittest", "_pytest", "hypothesis", "doctest", "nose"):
    sys.modules[name] = None
import anyio
from asapfn import asap, testing

watching = False

def refuse(event, arguments):
    outside = event == "open" or event.startswith(("socket.", "os.", "subprocess.", "time.sleep"))
    if watching and outside:
        raise RuntimeError(f"{event}{arguments}")

async def main():
    global watching
    sys.addaudithook(refuse)
    watching = True
    alice = testing.issuer("alice")
    fetch = testing.fetch(testing.repository(alice))
    repository = asap.repository(testing.REPOSITORY, fetch)
    verify = asap.verifier(repository, "service", issuers="alice")
    for reason in testing.ASAP_REASONS:
        testing.broken(reason, alice, "service")
    print((await verify(alice.token("service"))).claims["iss"])
    watching = False  # the event loop closes its own sockets

anyio.run(main)
"""


def test_it_needs_no_test_framework_no_network_no_file_and_no_sleep() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("alice\n", "")
