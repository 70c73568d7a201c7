"""Files of one commit of a repository, read from a git directory, a work tree or a plain folder.

A git directory is read through git itself, so that a bare clone will do and files deleted since are still found at the
commit that held them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Source", "SourceError"]


class SourceError(Exception):
    """A source that cannot be read or lacks what a recipe wants; the message says what to do."""


class Source:
    """Paths and bytes of one commit.

    Args:
        where: a clone (with a work tree or bare), a ``.git`` directory, or a plain folder of files.
        commit: which commit of a clone. None: its HEAD. A plain folder has none, and is read as it lies.

    Raises:
        SourceError: ``where`` is no folder, or the clone lacks the commit.

    Example:
        >>> with Source("DeepPCB") as source:  # doctest: +SKIP
        ...     source.paths("PCBData/")
    """

    def __init__(self, where: str | Path, commit: str | None = None) -> None:
        self.where = Path(where)
        if not self.where.is_dir():
            raise SourceError(f"--source {self.where} is no folder; give a clone of the repository or its files")
        self._cat: subprocess.Popen[bytes] | None = None
        self._blobs: dict[str, str] = {}  # of a clone; empty for a plain folder
        top = self._git("rev-parse", "--git-dir") if self._is_git() else None
        if top is None:
            self._paths = sorted(p.relative_to(self.where).as_posix() for p in self.where.rglob("*") if p.is_file())
            self._known = set(self._paths)
            return
        listed = self._git("ls-tree", "-r", "-z", "--full-tree", commit or "HEAD")
        if listed is None:
            raise SourceError(
                f"{self.where} has no commit {commit or 'HEAD'}; clone the whole history (no --depth), or fetch that "
                "commit"
            )
        for entry in listed.decode("utf-8", "surrogateescape").split("\0"):
            head, _, path = entry.partition("\t")
            if path and head.split()[1] == "blob":
                self._blobs[path] = head.split()[2]
        self._paths = sorted(self._blobs)
        self._known = set(self._paths)

    @classmethod
    def none(cls) -> Self:
        """Of a set that a package bundles: no files."""
        empty = cls.__new__(cls)
        empty.where, empty._cat, empty._blobs, empty._paths, empty._known = Path(), None, {}, [], set()
        return empty

    def paths(self, prefix: str = "", *suffixes: str) -> list[str]:
        """Paths that begin with ``prefix`` and end with one of ``suffixes`` (small letters; none: any), sorted."""
        return [p for p in self._paths if p.startswith(prefix) and (not suffixes or p.lower().endswith(suffixes))]

    def read(self, path: str) -> bytes:
        """The bytes of one file.

        Raises:
            SourceError: there is no such file, or the clone is partial and lacks its contents.
        """
        if path not in self._known:
            raise SourceError(
                f"{self.where} has no file {path}; is it the repository and commit that the recipe names?"
            )
        if not self._blobs:
            return (self.where / path).read_bytes()
        if self._cat is None:
            self._cat = subprocess.Popen(
                ["git", "-C", str(self.where), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._cat.stdin is not None and self._cat.stdout is not None
        self._cat.stdin.write(self._blobs[path].encode() + b"\n")
        self._cat.stdin.flush()
        head = self._cat.stdout.readline().split()
        if len(head) != 3:
            raise SourceError(f"{self.where} lists {path} but lacks its contents; clone it without --filter")
        data = self._cat.stdout.read(int(head[2]))
        self._cat.stdout.read(1)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cat is not None:
            assert self._cat.stdin is not None and self._cat.stdout is not None
            self._cat.stdin.close()
            self._cat.stdout.close()
            self._cat.wait()
            self._cat = None

    def _is_git(self) -> bool:
        """Whether ``where`` itself is a clone: a folder somewhere inside another clone is a plain folder."""
        return (self.where / ".git").exists() or ((self.where / "HEAD").is_file() and (self.where / "objects").is_dir())

    def _git(self, *command: str) -> bytes | None:
        done = subprocess.run(["git", "-C", str(self.where), *command], capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None
