"""Every error that equirouter raises on purpose.

EquiRouterError
├── UserError            the caller can fix it: exit code 2, HTTP 400
│   ├── DataError        a table, file or array is not what was promised
│   ├── ConfigError      an option or a setting has a value that makes no sense
│   ├── UnknownNameError no router, encoder, data set or policy of that name
│   ├── MissingExtraError an optional package is needed: the message is the command to type
│   ├── DownloadError    a file could not be fetched, or is not the file that was promised
│   ├── PipelineError    a saved pipeline is damaged, or does not belong to this set-up
│   └── OutputError      a result could not be written
└── FitError             training failed: exit code 1
"""

__all__ = [
    "ConfigError",
    "DataError",
    "DownloadError",
    "EquiRouterError",
    "FitError",
    "MissingExtraError",
    "OutputError",
    "PipelineError",
    "UnknownNameError",
    "UserError",
]


class EquiRouterError(Exception):
    """The root: catch it to catch all that equirouter raises on purpose."""


class UserError(EquiRouterError):
    """The caller can fix it: exit code 2 on the command line, HTTP 400 in the gateway."""


class DataError(UserError, ValueError):
    """A table, file or array is not what was promised."""


class UnreadableError(DataError):
    """A query has nothing in it that the encoder can read: the query is at fault, nothing else."""


class ConfigError(UserError, ValueError):
    """An option or a setting has a value that makes no sense."""


class UnknownNameError(UserError, LookupError):
    """No router, encoder, data set or policy of that name."""


class MissingExtraError(UserError, ImportError):
    """An optional package is needed; the message is the command to type."""


class DownloadError(UserError, OSError):
    """A file could not be fetched, or what came is not what was promised."""


class PipelineError(UserError, ValueError):
    """A saved pipeline is damaged, too new, or does not belong to this set-up."""


class OutputError(UserError, OSError):
    """A result could not be written: no space, no permission, or the place is taken."""


class FitError(EquiRouterError):
    """Training failed although its input was valid, for example on a loss that is not finite."""
