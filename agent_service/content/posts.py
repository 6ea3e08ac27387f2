"""Posts as they lie in a source: a folder of markdown files with YAML front matter, and the images beside them."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import msgspec
import yaml

from agent_service.faults import SourceNotAccessible

_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)^---\r?\n(.*)\Z", re.DOTALL | re.MULTILINE)
_NOT_IN_SLUG = re.compile(r"[^a-z0-9]+")
POST_BYTES_MAX = 1024 * 1024


class FrontMatter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an author says of a post."""

    title: str
    date: dt.date
    summary: str
    author: str
    tags: list[str] = []
    slug: str = ""
    draft: bool = False

    def __post_init__(self) -> None:
        for name in ("title", "summary", "author"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty")


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A post that could be read."""

    path: Path
    source: str
    slug: str
    front: FrontMatter
    body: str

    @property
    def url(self) -> str:
        """Where it will be, from the root of the site."""
        return f"/posts/{self.slug}/"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A content source: its posts, and what was wrong with those that are not among them."""

    name: str
    directory: Path
    posts: list[Post]
    problems: list[str]


def source_directory(given: Any) -> Path:
    """The directory that an entry of content_sources names: a path, or {"path": ...}. Raises SourceNotAccessible."""
    path = given.get("path") if isinstance(given, dict) else given
    if not isinstance(path, str) or not path:
        raise SourceNotAccessible(f"a content source is a path, not {given!r}")
    return Path(path.removeprefix("file://"))


def check_accessible(directory: Path) -> None:
    """Raises SourceNotAccessible unless there is at least one readable markdown file in `directory`."""
    try:
        names = [path for path in directory.iterdir() if path.suffix == ".md"]
        if not names:
            raise SourceNotAccessible(f"{directory} holds no markdown file")
        for path in names:
            with path.open("rb"):
                pass
    except OSError as error:
        raise SourceNotAccessible(f"{directory} cannot be read: {error}") from error


def read_source(directory: Path) -> Source:
    """Reads every post of a source. Broken ones become problems, named by file, so that all are told at once."""
    posts: list[Post] = []
    problems: list[str] = []
    for path in sorted(directory.glob("*.md")):
        try:
            posts.append(read_post(path, directory.name))
        except (ValueError, OSError) as error:
            problems.append(f"{directory.name}/{path.name}: {error}")
    return Source(name=directory.name, directory=directory, posts=posts, problems=problems)


def read_post(path: Path, source: str) -> Post:
    """Reads one post. Raises ValueError saying what is wrong with it."""
    if path.stat().st_size > POST_BYTES_MAX:
        raise ValueError(f"larger than {POST_BYTES_MAX} bytes")
    text = path.read_text(encoding="utf-8")
    match = _FRONT_MATTER.match(text)
    if match is None:
        raise ValueError("no front matter between two lines of ---")
    try:
        given = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 2}" if mark else ""
        raise ValueError(f"front matter is no YAML{line}") from error
    if not isinstance(given, dict):
        raise ValueError("front matter is no mapping")
    try:
        front = msgspec.convert(given, FrontMatter)
    except msgspec.ValidationError as error:
        raise ValueError(f"front matter: {error}") from error
    return Post(path=path.resolve(), source=source, slug=front.slug or slug_of(path.stem), front=front, body=match[2])


def slug_of(words: str) -> str:
    """A name for URLs."""
    return _NOT_IN_SLUG.sub("-", words.lower()).strip("-")
