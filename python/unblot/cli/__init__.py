"""The ``unblot`` command: one file per verb, each with one thin function.

A verb turns flags into ``DataConfig`` and ``TrainConfig``, says what it understood, calls the library and says where
the results lie. torch and all that needs it is imported inside the verbs, so that ``unblot --help`` answers at once.
What a user can put right ends in one text on stderr and exit code 2; anything else keeps its traceback.

A new verb is a new file here: a function under ``@app.command()``, its flags from ``flags``. All files are imported.
"""

from importlib import import_module
from pkgutil import iter_modules

from unblot.cli.program import app

__all__ = ["app"]

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")
