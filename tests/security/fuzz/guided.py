"""One target under the fuzzer: `python guided.py TARGET SECONDS FOLDER`. `run.py` starts it."""

import sys
import time
import warnings
from pathlib import Path

import atheris

# More than the longest token; and an input that takes 30 seconds is as bad as one that crashes.
OPTIONS = ("-max_len=20000", "-timeout=30", "-print_final_stats=1")
PAUSE = 15.0


def main(name: str, seconds: str, folder: str) -> None:
    warnings.simplefilter("error")
    with atheris.instrument_imports(include=["asapfn", "joserfc"]):
        from tests.support.fuzz_seeds import PIECES, REFUSED, SEEDS
        from tests.support.fuzz_targets import TARGETS

    corpus, pieces = Path(folder, "corpus"), Path(folder, "pieces.txt")
    for number, data in enumerate([*SEEDS[name], *REFUSED.get(name, [])]):
        Path(corpus, f"seed-{number}").write_bytes(data)
    quoted = ("".join(f"\\x{byte:02x}" for byte in piece) for piece in PIECES)
    pieces.write_text("".join(f'"{piece}"\n' for piece in quoted))

    target, begun, tried, taken = TARGETS[name], time.monotonic(), 0, 0
    due = begun + PAUSE

    def one(data: bytes) -> None:
        nonlocal tried, taken, due
        tried += 1
        taken += target(data)
        if time.monotonic() > due:
            due += PAUSE
            passed = time.monotonic() - begun
            print(f"{name}: {passed:.0f} s, {tried} inputs, {taken} taken", flush=True)

    where = f"-artifact_prefix={folder}/"
    options = [*OPTIONS, f"-max_total_time={seconds}", f"-dict={pieces}", where]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
