"""What must hold of the posts as a whole before anything of them is uploaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from bs4 import BeautifulSoup

from agent_service.content.posts import Source
from agent_service.content.rendering import RenderedPost


def problems_of(sources: Sequence[Source], rendered: Sequence[RenderedPost]) -> list[str]:
    """Every problem of the sources and posts, named by file: unreadable ones, double slugs, dead links, lost images."""
    problems = [problem for source in sources for problem in source.problems]
    slugs = Counter(one.post.slug for one in rendered)
    for one in rendered:
        where = f"{one.post.source}/{one.post.path.name}"
        if slugs[one.post.slug] > 1:
            problems.append(f"{where}: the slug {one.post.slug!r} is taken by another post")
        if not one.post.slug:
            problems.append(f"{where}: no slug can be made of its name")
        problems.extend(f"{where}: {problem}" for problem in one.problems)
    return problems


def warnings_of(rendered: Sequence[RenderedPost]) -> list[str]:
    """What is worth saying and stops nothing."""
    warnings = [f"{one.post.source}/{one.post.path.name}: {text}" for one in rendered for text in one.warnings]
    linked = {link for one in rendered for link in one.links}
    warnings.extend(
        f"{one.post.source}/{one.post.path.name}: no other post links to it"
        for one in rendered
        if one.post.url not in linked
    )
    return warnings


def dead_links(pages: Mapping[str, bytes], paths: set[str]) -> list[str]:
    """Links and references within finished pages that lead to no path of the release, or to no anchor."""
    parsed = {path: BeautifulSoup(content, "html.parser") for path, content in pages.items()}
    anchors = {path: {str(tag["id"]) for tag in soup.find_all(id=True)} for path, soup in parsed.items()}
    dead: list[str] = []
    for path, soup in parsed.items():
        for target in references(soup):
            if not target.startswith(("/", "#")) or target.startswith("//"):
                continue
            file, _, fragment = target.partition("#")
            found = release_path(file) if file else path
            if found not in paths:
                dead.append(f"{path}: {target} leads nowhere")
            elif fragment and found in anchors and fragment not in anchors[found]:
                dead.append(f"{path}: {target} names an anchor that is not there")
    return dead


def references(soup: BeautifulSoup) -> list[str]:
    """Everything a page points to: links, style sheets, images and each candidate of a srcset."""
    targets = [str(tag["href"]) for tag in soup.find_all(["a", "link"], href=True)]
    targets += [str(tag["src"]) for tag in soup.find_all(src=True)]
    for tag in soup.find_all(srcset=True):
        targets += [candidate.split()[0] for candidate in str(tag["srcset"]).split(",") if candidate.split()]
    return targets


def release_path(url_path: str) -> str:
    """The path in a release that an absolute URL path stands for."""
    path = unquote(url_path.partition("?")[0]).removeprefix("/")
    return path + "index.html" if not path or path.endswith("/") else path
