"""Says on stderr what is happening: one moving line per job on a terminal, plain lines anywhere else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from aifs_media import events
from aifs_media.cli.wording import bytes_in_words

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.progress import TaskID

OUTCOMES = {
    "asked": "{provider} was asked to cancel the job and has not confirmed it.",
    "canceled": "The job was cancelled at {provider}.",
    "too_late": "It was too late to cancel the job at {provider}.",
    "not_supported": "{provider} cannot cancel a job; it goes on there.",
    "failed": "{provider} could not be asked to cancel the job; it ends there at its deadline.",
}


@dataclass
class Seen:
    """What the events of one job have told."""

    provider: str
    line: str = ""
    submitted: bool = False
    stored: int = 0
    outcome: str = ""
    held: bool = False
    bar: TaskID | None = None


class _Spectators(Console):
    """Shows what goes on to whoever looks; that nobody does any more must not end work that is paid for."""

    def on_broken_pipe(self) -> None:
        """Show nothing from now on, where rich would end the process."""
        self.quiet = True


class Progress:
    """Takes every event of a generator. A context manager; what it showed is gone from a terminal at its end.

    Args:
        doing: what to say where no events will tell.

    Attributes:
        jobs: what was seen of each job, by job id, in order of their start.
    """

    def __init__(self, doing: str = "") -> None:
        self._doing = doing
        self.jobs: dict[str, Seen] = {}
        self._console = _Spectators(stderr=True, highlight=False, markup=False, emoji=False)
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            # Results go to stdout as they are: rich would draw them on this terminal, also where stdout is a file.
            redirect_stdout=False,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        if self._doing and self._bars.disable:
            self.say(self._doing)
        elif self._doing:
            self._bars.add_task(self._doing, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        self._bars.stop()

    def say(self, sentence: str) -> None:
        """Print a sentence that stays."""
        with suppress(OSError):  # a full disk behind it, or a terminal that has gone
            self._console.print(sentence, soft_wrap=True)

    @property
    def only_waits(self) -> bool:
        """Whether all that goes on is done by other processes."""
        return bool(self.jobs) and all(seen.held for seen in self.jobs.values())

    def endings(self) -> list[str]:
        """Return a sentence for each way in which jobs were left at their providers."""
        return list(dict.fromkeys(_ending(seen) for seen in self.jobs.values()))

    def __call__(self, event: events.Event) -> None:
        """Show an event."""
        seen = self.jobs.setdefault(event.job_id, Seen(event.provider))
        # Whatever else is told of a job is told by who works on it.
        seen.held = isinstance(event, events.Held)
        match event:
            case events.Submitted():
                seen.submitted = True
            case events.Stored():
                seen.stored += 1
            case events.CancelRequested():
                seen.outcome = event.outcome
            case _:
                pass
        line = words(event)
        if not line or line == seen.line:
            return
        seen.line = line
        number = event.job_id.rpartition(".")[2]
        if number.isdecimal() and number != event.job_id:
            # One of several jobs of one call, which end with .0, .1, ...
            line = f"{int(number) + 1}: {line}"
        if self._bars.disable:
            if not isinstance(event, events.Transferred):
                self.say(line)
            return
        with suppress(OSError):
            self._show(event, seen, line)

    def _show(self, event: events.Event, seen: Seen, line: str) -> None:
        if seen.bar is None:
            seen.bar = self._bars.add_task(line, total=None)
        match event:
            case events.Transferred(size=size, total=total):
                self._bars.update(seen.bar, description=line, completed=size, total=total)
            case events.Progressed(progress=float(share)):
                self._bars.update(seen.bar, description=line, completed=share, total=1.0)
            case events.Stored() | events.Failed():
                self._bars.update(seen.bar, description=line, completed=1.0, total=1.0)
            case _:
                self._bars.update(seen.bar, description=line)


def words(event: events.Event) -> str:  # noqa: C901, PLR0912 - one case per event
    """Return what an event means in words; empty where there is nothing to add."""
    provider = event.provider
    match event:
        case events.Held():
            return f"Another process works on job {event.job_id}; waiting"
        case events.Selected():
            return (
                f"Asking {provider} for {'an image' if event.kind == 'image' else 'a video'} by {_short(event.model)}"
            )
        case events.Submitted():
            return f"{provider} has accepted the job"
        case events.Progressed(queue_position=int(position)):
            return f"Waiting at {provider}, {position} in the queue before it"
        case events.Progressed(progress=float(share)):
            return f"{provider} is generating: {share:.0%}"
        case events.Progressed():
            return f"{provider} is generating"
        case events.Retried(step=step, reason=reason, wait=wait):
            return f"The {step} failed ({reason}); trying again{f' in {wait:.0f} s' if wait else ''}"
        case events.Generated(outputs=outputs, missing=missing):
            made = f"{provider} has made {outputs} file{'' if outputs == 1 else 's'}"
            return f"{made}, {missing} fewer than asked for; fetching" if missing else f"{made}; fetching"
        case events.Transferred(size=size, total=total):
            return f"Storing: {bytes_in_words(size)}{f' of {bytes_in_words(total)}' if total else ''}"
        case events.Stored(object_key=object_key, size=size):
            return f"Stored {object_key} ({bytes_in_words(size)})"
        case events.CancelRequested(outcome="asked"):
            return f"Cancelling the job at {provider}"
        case events.CancelRequested(outcome=outcome):
            return OUTCOMES[outcome].format(provider=provider)
        case events.Failed():
            # The error itself is printed at the end of the command.
            return ""


def _ending(seen: Seen) -> str:
    kept = " What it had made is kept." if seen.stored else ""
    if seen.outcome:
        return OUTCOMES[seen.outcome].format(provider=seen.provider) + kept
    if seen.stored:
        return kept.strip()
    if seen.held:
        return "The job goes on in the process that works on it."
    if seen.submitted:
        return f"The job goes on at {seen.provider} and may be billed."
    return f"{seen.provider} may have received the request: look at its own list before you start again."


def _short(model: str) -> str:
    """Leave out the version's hash, which nobody reads."""
    name, _, version = model.partition(":")
    return name if len(version) == 64 else model
