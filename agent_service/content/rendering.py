"""Markdown to HTML: CommonMark with tables, footnotes and anchors, highlighted code, and only harmless tags."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec
import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.footnote import footnote_plugin
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

from agent_service.content.images import OptimizedImage
from agent_service.content.posts import Post, slug_of

WORDS_PER_MINUTE = 220
SIZES = "(max-width: 46rem) 100vw, 46rem"

_ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    "*": {"class", "id"},
    "img": {"src", "srcset", "sizes", "alt", "title", "width", "height", "loading", "decoding"},
    "source": {"srcset", "sizes", "type"},
    "a": {"href", "title", "class", "id"},
    "th": {"align", "scope"},
    "td": {"align"},
}
_TAGS = nh3.ALLOWED_TAGS | {"picture", "source", "section", "figure", "figcaption"}


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a table of contents."""

    level: int
    text: str
    anchor: str


class RenderedPost(msgspec.Struct, frozen=True, kw_only=True):
    """A post as HTML, with everything that was learned from it."""

    post: Post
    html: str
    words: int
    reading_minutes: int
    headings: list[Heading]
    # Paths within the site that it links to, and the images it shows.
    links: list[str]
    images: list[Path]
    problems: list[str]
    warnings: list[str]


def render(post: Post, urls: Mapping[Path, str], images: Mapping[Path, OptimizedImage]) -> RenderedPost:
    """Renders one post. Links to other posts' files become their URLs, images become responsive pictures."""
    return _Rendering(post, urls, images).result()


def code_stylesheet() -> str:
    """The style sheet that the classes of highlighted code refer to."""
    return str(HtmlFormatter(style="friendly").get_style_defs(".highlight"))


class _Rendering:
    """The state of one rendering: what was met on the way."""

    def __init__(self, post: Post, urls: Mapping[Path, str], images: Mapping[Path, OptimizedImage]) -> None:
        self._post = post
        self._urls = urls
        self._images = images
        self._links: list[str] = []
        self._shown: list[Path] = []
        self._problems: list[str] = []
        self._warnings: list[str] = []

    def result(self) -> RenderedPost:
        markdown = MarkdownIt("commonmark", {"html": True, "highlight": _highlighted})
        markdown.enable("table").enable("strikethrough")
        markdown.use(footnote_plugin).use(anchors_plugin, min_level=2, max_level=3, slug_func=slug_of)
        assert isinstance(markdown.renderer, RendererHTML)
        # add_render_rule would bind it to the renderer.
        cast("dict[str, Any]", markdown.renderer.rules)["image"] = self._picture
        tokens = markdown.parse(self._post.body)
        self._rewrite_links(tokens)
        raw = markdown.renderer.render(tokens, markdown.options, {})
        # Raw HTML is allowed in posts, scripts are not: what is not on the list is gone.
        clean = nh3.clean(raw, tags=set(_TAGS), attributes=_ATTRIBUTES, link_rel=None)
        words = len(re.findall(r"\w+", re.sub(r"<[^>]+>", " ", clean)))
        return RenderedPost(
            post=self._post,
            html=clean,
            words=words,
            reading_minutes=max(1, round(words / WORDS_PER_MINUTE)),
            headings=_headings(tokens),
            links=self._links,
            images=self._shown,
            problems=self._problems,
            warnings=self._warnings,
        )

    def _rewrite_links(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            for child in token.children or ():
                if child.type == "link_open":
                    child.attrSet("href", self._link(str(child.attrGet("href") or "")))

    def _link(self, target: str) -> str:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or target.startswith("#"):
            return target
        if target.startswith("/"):
            self._links.append(parts.path)
            return target
        file = (self._post.path.parent / unquote(parts.path)).resolve()
        url = self._urls.get(file)
        if url is None:
            self._problems.append(f"dead link to {target}")
            return target
        self._links.append(url)
        return url + (f"#{parts.fragment}" if parts.fragment else "")

    def _picture(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        target = str(token.attrGet("src") or "")
        alt = RendererHTML().renderInlineAsText(token.children, options, env)
        if not alt:
            self._warnings.append(f"image {target} has no alternative text")
        file = (self._post.path.parent / unquote(target)).resolve()
        image = self._images.get(file)
        if image is None:
            self._problems.append(f"missing image {target}")
            return ""
        self._shown.append(file)
        largest = image.fallback[-1]
        loading = "eager" if len(self._shown) == 1 else "lazy"
        return (
            f'<picture><source type="image/webp" srcset="{_srcset(image.webp)}" sizes="{SIZES}">'
            f'<img src="/{largest.path}" srcset="{_srcset(image.fallback)}" sizes="{SIZES}" '
            f'alt="{html.escape(alt)}" width="{largest.width}" height="{largest.height}" '
            f'loading="{loading}" decoding="async"></picture>'
        )


def _srcset(variants: Sequence[Any]) -> str:
    return ", ".join(f"/{variant.path} {variant.width}w" for variant in variants)


def _highlighted(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        lexer = None
    if lexer is None:
        return f'<pre class="highlight"><code>{html.escape(code)}</code></pre>'
    coloured = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="highlight"><code>{coloured}</code></pre>'


def _headings(tokens: Sequence[Token]) -> list[Heading]:
    return [
        Heading(level=int(token.tag[1]), text=tokens[position + 1].content, anchor=str(token.attrGet("id")))
        for position, token in enumerate(tokens)
        if token.type == "heading_open" and token.attrGet("id")
    ]
