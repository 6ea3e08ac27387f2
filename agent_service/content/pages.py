"""The finished site: a page for each post and tag, the index, the feed, the sitemap and what robots read."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent_service.content.posts import slug_of
from agent_service.content.rendering import RenderedPost, code_stylesheet
from agent_service.infrastructure.bucket import Upload

SITE_TITLE = "Concert Notes"
SITE_SUMMARY = "Notes on letting many independent programs do one job together."
TEMPLATES = Path(__file__).parent / "templates"
ATOM = "http://www.w3.org/2005/Atom"
SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"


def build_pages(rendered: Sequence[RenderedPost], domain: str) -> dict[str, Upload]:
    """Every path of the site but the images. The same posts give the same bytes, whenever it is built."""
    newest_first = sorted(rendered, key=lambda one: (one.post.front.date, one.post.slug), reverse=True)
    style = (TEMPLATES / "style.css").read_text() + code_stylesheet() + "\n"
    style_path = f"assets/style-{hashlib.sha256(style.encode()).hexdigest()[:12]}.css"
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.globals.update(site_title=SITE_TITLE, site_summary=SITE_SUMMARY, style=f"/{style_path}")
    templates.filters["slug"] = slug_of

    def page(template: str, path: str, **values: object) -> Upload:
        canonical = f"https://{domain}/{path.removesuffix('index.html')}"
        return _text(templates.get_template(template).render(canonical=canonical, **values), "text/html")

    tags = _by_tag(newest_first)
    uploads = {
        style_path: _text(style, "text/css"),
        "index.html": page("index.html", "index.html", posts=newest_first, tags=tags),
        "posts/index.html": page("archive.html", "posts/index.html", title="All posts", posts=newest_first),
        "404.html": page("missing.html", "404.html"),
    }
    for tag, posts in tags.items():
        path = f"tags/{slug_of(tag)}/index.html"
        uploads[path] = page("archive.html", path, title=f"Tagged {tag}", posts=posts)
    for position, one in enumerate(newest_first):
        path = f"posts/{one.post.slug}/index.html"
        newer = newest_first[position - 1] if position else None
        older = newest_first[position + 1] if position + 1 < len(newest_first) else None
        uploads[path] = page("post.html", path, one=one, newer=newer, older=older)
    uploads["feed.xml"] = _feed(newest_first, domain)
    uploads["sitemap.xml"] = _sitemap(newest_first, [path for path in uploads if path.endswith("index.html")], domain)
    uploads["robots.txt"] = _text(f"User-agent: *\nAllow: /\n\nSitemap: https://{domain}/sitemap.xml\n", "text/plain")
    uploads["posts.json"] = _catalogue(newest_first)
    return uploads


def _text(text: str, media_type: str) -> Upload:
    return Upload(content=text.encode(), content_type=f"{media_type}; charset=utf-8")


def _by_tag(posts: Sequence[RenderedPost]) -> dict[str, list[RenderedPost]]:
    tags: defaultdict[str, list[RenderedPost]] = defaultdict(list)
    for one in posts:
        for tag in one.post.front.tags:
            tags[tag].append(one)
    return dict(sorted(tags.items()))


def _feed(posts: Sequence[RenderedPost], domain: str) -> Upload:
    """An Atom feed (RFC 4287)."""
    feed = ElementTree.Element("feed", xmlns=ATOM)

    def add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, tag, attributes)
        element.text = text or None
        return element

    add(feed, "id", f"https://{domain}/")
    add(feed, "title", SITE_TITLE)
    add(feed, "updated", _instant(posts[0].post.front.date if posts else dt.date(1970, 1, 1)))
    add(feed, "link", rel="self", href=f"https://{domain}/feed.xml", type="application/atom+xml")
    add(feed, "link", rel="alternate", href=f"https://{domain}/", type="text/html")
    for one in posts:
        entry = add(feed, "entry")
        url = f"https://{domain}{one.post.url}"
        add(entry, "id", url)
        add(entry, "title", one.post.front.title)
        add(entry, "updated", _instant(one.post.front.date))
        add(add(entry, "author"), "name", one.post.front.author)
        add(entry, "link", rel="alternate", href=url, type="text/html")
        add(entry, "summary", one.post.front.summary)
        for tag in one.post.front.tags:
            add(entry, "category", term=tag)
    return _xml(feed, "application/atom+xml")


def _sitemap(posts: Sequence[RenderedPost], pages: Sequence[str], domain: str) -> Upload:
    changed = {f"posts/{one.post.slug}/index.html": one.post.front.date for one in posts}
    urls = ElementTree.Element("urlset", xmlns=SITEMAP)
    for path in sorted(pages):
        url = ElementTree.SubElement(urls, "url")
        ElementTree.SubElement(url, "loc").text = f"https://{domain}/{path.removesuffix('index.html')}"
        if path in changed:
            ElementTree.SubElement(url, "lastmod").text = changed[path].isoformat()
    return _xml(urls, "application/xml")


def _catalogue(posts: Sequence[RenderedPost]) -> Upload:
    """The extracted metadata, for programs that read the site."""
    entries = [
        {
            "url": one.post.url,
            "title": one.post.front.title,
            "date": one.post.front.date.isoformat(),
            "summary": one.post.front.summary,
            "author": one.post.front.author,
            "tags": one.post.front.tags,
            "words": one.words,
            "reading_minutes": one.reading_minutes,
            "headings": [heading.text for heading in one.headings],
            "links": sorted(set(one.links)),
            "images": len(one.images),
        }
        for one in posts
    ]
    content = msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n"
    return Upload(content=content, content_type="application/json")


def _instant(day: dt.date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _xml(root: ElementTree.Element, media_type: str) -> Upload:
    ElementTree.indent(root)
    content = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
    return Upload(content=content, content_type=media_type)
