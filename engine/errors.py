"""Named errors: what happened, where, why, and the remedy.

```
FieldloomError                  .what .where .why .remedy .sample .file
├─ ArgumentError(ValueError)    an option or array breaks its contract
├─ SourceError                  the data set cannot be used as a whole
│  ├─ MissingError(FileNotFoundError)
│  ├─ ShardError
│  ├─ ManifestError
│  └─ UnsafeError               not a regular file
├─ SampleError                  one sample is bad; while loading, the only kind that can be skipped
│  ├─ DecodeError               its bytes are not a decodable image
│  ├─ LimitError                its header asks for more than `max_pixels`
│  ├─ LabelError                its label is not usable
│  └─ TransformError            an augmentation cannot be applied to it
├─ WorkerError(RuntimeError)
│  ├─ WorkerDied
│  └─ WorkerStalled(TimeoutError)
├─ DeviceError(RuntimeError)
│  ├─ DeviceMemoryError
│  ├─ KernelBuildError
│  └─ DeviceLost
├─ StateError(ValueError)       saved or present state does not allow this
└─ TooManyBadSamples            the budget `max_bad` is spent; lists the first ten
```

This module imports nothing of ours, and every layer may import it.
"""

import codecs
from typing import Self

# Python opens a file at a codec's first use, and errors are made where no descriptor is left.
codecs.lookup("unicode_escape")


class FieldloomError(Exception):
    """Root of every error that this package raises on purpose.

    Takes one string, so that each class pickles; `make` builds that string from its parts and
    keeps the parts as attributes (they survive pickling too).
    """

    what: str = ""
    where: str = ""
    why: str = ""
    remedy: str = ""
    sample: int | None = None
    file: str | None = None

    @classmethod
    def make(
        cls,
        what: str,
        *,
        why: str = "",
        remedy: str = "",
        sample: int | None = None,
        file: str | None = None,
    ) -> Self:
        """Build an error from its parts.

        Args:
            what: What failed, without a full stop ("cannot decode").
            why: The fact that made it fail, with both numbers where there are two.
            remedy: The option or the command that helps.
            sample: Sample id, where one sample is concerned.
            file: Its file (or other name), where it has one.
        """
        where = _where(sample, file)
        text = f"{what} {where}".rstrip() if where else what
        text += f": {why}." if why else "."
        if remedy:
            text += f" {remedy}"
        error = cls(text)
        error.what, error.where, error.why, error.remedy = what, where, why, remedy
        error.sample, error.file = sample, file
        return error

    def located(self, sample: int | None, file: str | None) -> Self:
        """The same error with the sample and file that it concerns (inner code knows only the bytes)."""
        return type(self).make(self.what, why=self.why, remedy=self.remedy, sample=sample, file=file)

    def bare(self) -> Self:
        """The same error without the frames that it and its causes passed through.

        Frames keep what they worked on alive: the bytes of a file, a whole batch. Errors that wait in a
        queue or a list shall not, and their text says what a traceback would.
        """
        link: BaseException | None = self
        while link is not None:
            link.__traceback__ = None
            link = link.__cause__ or link.__context__
        return self


def _where(sample: int | None, file: str | None) -> str:
    # A file name may hold line breaks or bytes that are not UTF-8: the report must not break on it.
    shown = (
        None if file is None else file.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
    )
    if sample is None:
        return shown or ""
    return f"sample {sample}" + (f" ({shown})" if shown else "")


class ArgumentError(FieldloomError, ValueError):
    """An option or array breaks its contract: names the option, its value and its range."""


class SourceError(FieldloomError):
    """The data set cannot be used as a whole."""


class MissingError(SourceError, FileNotFoundError):
    """A folder or file that is named does not exist."""


class ShardError(SourceError):
    """A shard's contents contradict its index."""


class ManifestError(SourceError):
    """A manifest cannot be read."""


class UnsafeError(SourceError):
    """A path is not a regular file (links to regular files are followed)."""


class SampleError(FieldloomError):
    """One sample is bad. The only kind of error that `on_bad_sample` can skip or substitute."""


class DecodeError(SampleError):
    """The bytes of a sample are not a decodable image."""


class LimitError(SampleError):
    """A sample's header asks for more pixels than `max_pixels`."""


class LabelError(SampleError):
    """A sample's label is not usable as a class index."""


class TransformError(SampleError):
    """An augmentation cannot be applied to this sample."""


class WorkerError(FieldloomError, RuntimeError):
    """A worker thread or process failed."""


class WorkerDied(WorkerError):  # noqa: N818 - the tree's published name
    """A worker ended without a result."""


class WorkerStalled(WorkerError, TimeoutError):  # noqa: N818 - the tree's published name
    """No result came within the time limit."""


class DeviceError(FieldloomError, RuntimeError):
    """A device that was asked for cannot be used."""


class DeviceMemoryError(DeviceError):
    """The device has too little memory."""


class KernelBuildError(DeviceError):
    """A CUDA kernel could not be compiled."""


class DeviceLost(DeviceError):  # noqa: N818 - the tree's published name
    """The device stopped answering."""


class StateError(FieldloomError, ValueError):
    """Saved or present state does not allow this."""


class TooManyBadSamples(FieldloomError):  # noqa: N818 - the tree's published name
    """More bad samples than `max_bad` allows; lists the first ten."""
