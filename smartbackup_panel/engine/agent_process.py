"""Starting an agent's process, and what is said between a request and its answer: time limits, errors, last words."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from smartbackup_panel.core.cleanup import on_failure
from smartbackup_panel.core.errors import AgentFailed, SmartBackupError, all_errors
from smartbackup_panel.engine import steward
from smartbackup_panel.engine.channel import Channel, ChannelClosed, close_all
from smartbackup_panel.engine.children import start_child, take_agent
from smartbackup_panel.engine.messages import Done, Event, Failed, Hello, Request, Stop, decode_event

_LAST_WORDS_BYTES = 2_000
_GOODBYE_SECONDS = 5.0


class AgentProcess:
    """A child process and the socket to it."""

    def __init__(
        self, hello: Hello, spool_fd: int, time_limit_seconds: float, stall_limit_seconds: float, *, with_steward: bool
    ) -> None:
        """Start the child (and a steward for it) and greet it. Raises AgentFailed."""
        self._ends_at = time.monotonic() + time_limit_seconds
        self._time_limit_seconds = time_limit_seconds
        self._stall_limit_seconds = stall_limit_seconds
        self._child, end, self._last_words_fd = take_agent()
        self._channel = Channel(end)
        self._steward: subprocess.Popen[bytes] | None = None
        if not with_steward or hello.tenant is None:
            self._send(hello, [spool_fd])
            return
        self._steward, to_steward, _ = start_child(steward.MODULE, self._last_words_fd)
        with to_steward:
            steward.greet(Channel(to_steward), hello.tenant)
            self._send(hello, [spool_fd, to_steward.fileno()])

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def ask(self, request: Request, fds: Sequence[int], on_event: Callable[[Event], None]) -> bytes:
        """Send a request, hand events to `on_event`, and return the encoded result.

        Raises the error that the agent reports, AgentFailed when it ends or passes a limit; whatever `on_event` raises
        kills the agent.
        """
        self._send(request, fds)
        with on_failure(self.kill):
            while True:
                event = self._receive()
                if isinstance(event, Done):
                    return bytes(event.result)
                if isinstance(event, Failed):
                    break
                on_event(event)
        raise _error_of(event)

    def _send(self, message: object, fds: Sequence[int]) -> None:
        try:
            self._channel.set_timeout(self._stall_limit_seconds)
            self._channel.send(message, fds)
        except ChannelClosed as error:
            raise self._gone() from error

    def _receive(self) -> Event:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise AgentFailed(f"the agent did not finish within {self._time_limit_seconds:.0f} s")
        try:
            self._channel.set_timeout(min(left, self._stall_limit_seconds))
            event, fds = self._channel.receive(decode_event)
        except TimeoutError as error:
            raise AgentFailed(f"the agent said nothing for {min(left, self._stall_limit_seconds):.0f} s") from error
        except ChannelClosed as error:
            raise self._gone() from error
        close_all(fds)
        return event

    def _gone(self) -> AgentFailed:
        """Return the error that says how the child ended."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_GOODBYE_SECONDS)
        size = os.fstat(self._last_words_fd).st_size
        words = os.pread(self._last_words_fd, _LAST_WORDS_BYTES, max(0, size - _LAST_WORDS_BYTES))
        shown = words.decode(errors="backslashreplace").strip() or "it said nothing"
        return AgentFailed(f"the agent ended with exit code {self._child.returncode}: {shown}")

    def rest(self, seconds: float) -> None:
        """Stop the child for a while. One that is killed meanwhile, by the kernel when the worker ends too, is dead at once."""
        self._child.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self._child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the child at once."""
        self._child.kill()
        self._child.wait()
        if self._steward is not None:
            self._steward.kill()
            self._steward.wait()

    def close(self) -> None:
        """Tell the child to stop, and kill it if it does not; a second call does nothing."""
        if self._last_words_fd < 0:
            return
        try:
            with suppress(AgentFailed, OSError):
                self._channel.send(Stop())
            self._child.wait(_GOODBYE_SECONDS)
            if self._steward is not None:  # its only partner is gone
                self._steward.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._channel.close()
        os.close(self._last_words_fd)
        self._last_words_fd = -1


def _error_of(failed: Failed) -> SmartBackupError:
    """Return the error of the product's tree that an agent reported."""
    for error in all_errors():
        if error.code == failed.code:
            return error(failed.message[:2_000], hint=failed.hint[:1_000])
    return AgentFailed(failed.message[:2_000])
