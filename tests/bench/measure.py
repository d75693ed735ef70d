"""Timing programs: wall clock, processor time and peak memory of a command with all its children."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Sample:
    """One run. `cpu_seconds` counts all processes of it, `peak_bytes` is the largest of them (0: not measured)."""

    seconds: float
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Contender:
    """One way to do the work: `run` does it once, in a given round, and says what it took."""

    name: str
    run: Callable[[int], Sample]


@dataclass(frozen=True)
class Figure:
    """What a contender took: medians over the rounds, the largest peak."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    size_bytes: int


def compare(
    contenders: Sequence[Contender],
    rounds: int,
    before: Callable[[int], object] | None = None,
    *,
    warm: Path | None = None,
) -> list[Figure]:
    """Run all contenders `rounds` times, each round in another order so that none profits from its place.

    `before` prepares a round, outside of the clock. All find the files below `warm` in memory.
    """
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        if before is not None:
            before(number)
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            settle(warm)
            samples[contender.name].append(contender.run(number))
    return [_figure(name, taken) for name, taken in samples.items()]


def _figure(name: str, taken: list[Sample]) -> Figure:
    return Figure(
        name,
        median(sample.seconds for sample in taken),
        median(sample.cpu_seconds for sample in taken),
        max(sample.peak_bytes for sample in taken),
        int(median(sample.size_bytes for sample in taken)),
    )


def settle(warm: Path | None) -> None:
    """Have what earlier runs wrote reach the disk, and read what they pushed out of memory (borg does so with all it reads)."""
    os.sync()
    if warm is not None:
        run_pipeline(["tar", "-cf", "-", "-C", str(warm), "."], ["cat"])


def run_pipeline(
    *commands: Sequence[str],
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Sample:
    """Run programs, each reading what the one before writes, the last into `output`. Raises RuntimeError."""
    began = time.monotonic()
    target = subprocess.DEVNULL if output is None else os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as words:
        for place, command in enumerate(commands):
            is_last = place == len(commands) - 1
            program = subprocess.Popen(
                command,
                stdin=running[-1].stdout if running else subprocess.DEVNULL,
                stdout=target if is_last else subprocess.PIPE,
                stderr=words,
                env={**os.environ, **(environment or {})},
                cwd=folder,
            )
            if running and running[-1].stdout is not None:
                running[-1].stdout.close()
            running.append(program)
        ended = [_wait(program) for program in running]
        seconds = time.monotonic() - began
        words.seek(0)
        for program, command in zip(running, commands, strict=True):
            if program.returncode != 0:
                said = words.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(command)} exited {program.returncode}: {said}")
    if output is not None:
        os.close(target)
    cpu_seconds = sum(usage.ru_utime + usage.ru_stime for usage in ended)
    peak_bytes = max(usage.ru_maxrss for usage in ended) * 1024
    return Sample(seconds, cpu_seconds, peak_bytes, output.stat().st_size if output is not None else 0)


def _wait(program: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Return what a program and its own children used; its return code is set."""
    _, status, usage = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    return usage


def folder_bytes(folder: Path) -> int:
    """Return the sizes of all files below a folder."""
    return sum(os.lstat(os.path.join(below, name)).st_size for below, _, names in os.walk(folder) for name in names)
