"""The content agent's work: each source in parallel, then the whole is checked and uploaded as one release."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agent_service.content.images import SUFFIXES, OptimizedImage, optimize
from agent_service.content.pages import build_pages
from agent_service.content.posts import Source, read_source
from agent_service.content.rendering import RenderedPost, render
from agent_service.content.validation import dead_links, problems_of, warnings_of
from agent_service.faults import ContentInvalid
from agent_service.infrastructure.bucket import Bucket, Release, StoredObject, Upload
from agent_service.site import ContentResult, ImageSavings, PublishedPath, Site
from agent_service.work import Attempt, held, together

PROBLEMS_TOLD_MAX = 20
UPLOADS_AT_ONCE_MAX = 8


async def migrate(site: Site, directories: Sequence[Path], attempt: Attempt) -> ContentResult:
    """Brings the posts of `directories` onto the site, all or nothing. Raises ContentInvalid."""
    progress = _Progress(attempt, len(directories))
    sources: list[Source] = await together(*(asyncio.to_thread(read_source, place) for place in directories))
    urls = {post.path: post.url for source in sources for post in source.posts if not post.front.draft}
    done = await together(*(_source(source, urls, progress) for source in sources))
    rendered = [one for posts, _, _ in done for one in posts]
    images = [image for _, optimized, _ in done for image in optimized]
    problems = problems_of(sources, rendered) + [problem for _, _, broken in done for problem in broken]
    _refuse(problems)

    await attempt.progress(0.75, "building index, feed and sitemap")
    uploads = await asyncio.to_thread(build_pages, rendered, site.domain)
    pages = {path: upload.content for path, upload in uploads.items() if path.endswith(".html")}
    for image in images:
        uploads.update({variant.path: variant.upload for variant in (*image.webp, *image.fallback)})
    _refuse(await asyncio.to_thread(dead_links, pages, set(uploads)))

    await attempt.progress(0.85, f"uploading {len(uploads)} paths")
    release = await _upload(site, uploads, attempt)
    return ContentResult(
        release=release.version,
        posts=len(rendered),
        sources={source.name: len(source.posts) for source in sources},
        pages=sorted(pages),
        paths={path: _published(stored) for path, stored in release.objects.items()},
        optimization=_savings(images),
        warnings=warnings_of(rendered),
        uploaded_bytes=sum(stored.size_bytes for stored in release.objects.values()),
    )


class _Progress:
    """Counts what the sources finish, over all of them."""

    def __init__(self, attempt: Attempt, sources: int) -> None:
        self._attempt = attempt
        self._sources = sources
        self._fractions: dict[str, float] = {}

    async def at(self, source: str, fraction: float, what: str) -> None:
        self._fractions[source] = fraction
        whole = sum(self._fractions.values()) / self._sources
        await self._attempt.progress(0.7 * whole, f"{source}: {what}")


async def _source(
    source: Source, urls: dict[Path, str], progress: _Progress
) -> tuple[list[RenderedPost], list[OptimizedImage], list[str]]:
    """One source: its images, then its posts, which show them."""
    broken: list[str] = []
    optimized: list[OptimizedImage] = []
    paths = sorted(path for path in source.directory.rglob("*") if path.suffix.lower() in SUFFIXES)
    for count, path in enumerate(paths, start=1):
        # Threads, not processes: Pillow computes without the interpreter's lock, and the rest takes milliseconds.
        try:
            optimized.append(await asyncio.to_thread(optimize, path))
        except ValueError as error:
            broken.append(f"{source.name}/{path.name}: {error}")
        await progress.at(source.name, 0.9 * count / len(paths), path.name)
    by_path = {image.source: image for image in optimized}
    published = [post for post in source.posts if not post.front.draft]
    rendered = await asyncio.to_thread(lambda: [render(post, urls, by_path) for post in published])
    await progress.at(source.name, 1.0, f"{len(rendered)} posts")
    return rendered, optimized, broken


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        told = "\n".join(problems[:PROBLEMS_TOLD_MAX])
        raise ContentInvalid(f"{len(problems)} problems, nothing was uploaded:\n{told}")


async def _upload(site: Site, uploads: dict[str, Upload], attempt: Attempt) -> Release:
    bucket = Bucket(Path(site.bucket.directory))
    at_once = asyncio.Semaphore(UPLOADS_AT_ONCE_MAX)

    async def put(path: str, upload: Upload) -> tuple[str, StoredObject]:
        async with at_once:
            return path, await asyncio.to_thread(bucket.put, upload)

    async with held(attempt, f"bucket/{site.domain}", guards=f"sites/{site.domain}/content") as token:
        stored = dict(await together(*(put(path, upload) for path, upload in uploads.items())))
        return await asyncio.to_thread(bucket.release, stored, token)


def _published(stored: StoredObject) -> PublishedPath:
    return PublishedPath(sha256=stored.sha256, size_bytes=stored.size_bytes, content_type=stored.content_type)


def _savings(images: Sequence[OptimizedImage]) -> ImageSavings:
    original = sum(image.original_bytes for image in images)
    webp = sum(len(image.webp[-1].upload.content) for image in images)
    return ImageSavings(
        images=len(images),
        variants=sum(len(image.webp) + len(image.fallback) for image in images),
        original_bytes=original,
        largest_webp_bytes=webp,
        largest_fallback_bytes=sum(len(image.fallback[-1].upload.content) for image in images),
        saved_fraction=round(1 - webp / original, 4) if original else 0.0,
    )
