"""The quality assurance agent's work: a good site passes, and each thing that is broken is found and named."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent_service.content.migration import migrate
from agent_service.infrastructure.bucket import Bucket, StoredObject, Upload
from agent_service.quality_assurance.checks import assure
from agent_service.security.hardening import secure
from agent_service.site import ContentResult, QualityResult, QualityThresholds, SecurityRequirements, Site
from tests.agents.conftest import RecordingAttempt
from tests.agents.test_security import AWS_KEY

ALL = SecurityRequirements()
USUAL = QualityThresholds()


@pytest.fixture
async def content(site: Site, small_blog: list[Path], attempt: RecordingAttempt) -> ContentResult:
    """A small site, hardened and filled."""
    await secure(site, ALL, small_blog, attempt, "run-1")
    return await migrate(site, small_blog, attempt)


async def looked_at(
    site: Site,
    content: ContentResult,
    *,
    thresholds: QualityThresholds = USUAL,
    security_score: float | None = 1.0,
) -> QualityResult:
    """The result of quality assurance."""
    return await assure(site, content, ALL, thresholds, security_score, RecordingAttempt())


def stored(site: Site, path: str) -> tuple[Bucket, StoredObject]:
    """Where a path of the site lies."""
    bucket = Bucket(Path(site.bucket.directory))
    return bucket, bucket.current().objects[path]


def replace_page(site: Site, content: ContentResult, path: str, page: bytes) -> ContentResult:
    """Publishes another page under a path, properly uploaded: only its content is wrong."""
    bucket = Bucket(Path(site.bucket.directory))
    new = bucket.put(Upload(content=page, content_type="text/html; charset=utf-8"))
    bucket.release({**bucket.current().objects, path: new}, 1000)
    published = msgspec.structs.replace(content.paths[path], sha256=new.sha256, size_bytes=new.size_bytes)
    return msgspec.structs.replace(content, paths={**content.paths, path: published})


async def test_a_good_site_passes_everything(site: Site, content: ContentResult) -> None:
    """All four areas are looked at, and nothing is found."""
    result = await looked_at(site, content)
    assert result.issues_found == []
    assert result.passed
    assert (result.quality_score, result.checks_passed) == (1.0, result.checks_run)
    assert set(result.by_area) == {"endpoints", "content", "security", "performance"}
    assert all(counts["run"] > 0 for counts in result.by_area.values())
    assert 0 < result.load_times.median_seconds <= result.load_times.slowest_seconds


async def test_a_corrupted_file_in_the_bucket_is_found(site: Site, content: ContentResult) -> None:
    """One byte is enough, and the path is named."""
    path = next(path for path in content.paths if path.endswith(".webp"))
    bucket, lost = stored(site, path)
    whole = bucket.object_path(lost).read_bytes()
    bucket.object_path(lost).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    result = await looked_at(site, content)
    assert [(issue.severity, issue.where, issue.what) for issue in result.issues_found] == [
        ("critical", f"/{path}", "is not what was uploaded")
    ]
    assert not result.passed
    assert result.quality_score < 1


async def test_a_lost_file_is_found(site: Site, content: ContentResult) -> None:
    """A page that the bucket has lost fails wherever it is looked at."""
    bucket, lost = stored(site, "posts/one/index.html")
    bucket.object_path(lost).unlink()
    result = await looked_at(site, content)
    checks = {issue.check for issue in result.issues_found if issue.where == "/posts/one/index.html"}
    assert {"endpoints", "content"} <= checks
    assert not result.passed


async def test_a_dead_link_and_a_missing_title_are_found(site: Site, content: ContentResult) -> None:
    """In what is really served, wherever it came from."""
    page = b'<!doctype html><h1>One</h1><a href="/posts/gone/">gone</a><a href="#nowhere">down</a>'
    result = await looked_at(site, replace_page(site, content, "posts/one/index.html", page))
    told = {issue.what for issue in result.issues_found if issue.where == "/posts/one/index.html"}
    assert {"has no title", "dead links: /posts/gone/, #nowhere"} <= told


async def test_a_secret_on_a_page_is_found(site: Site, content: ContentResult) -> None:
    """Also when it was not in the sources."""
    page = f"<!doctype html><title>One</title><h1>One</h1><p id='part'>{AWS_KEY}</p>".encode()
    result = await looked_at(site, replace_page(site, content, "posts/one/index.html", page))
    assert ("critical", "security") in {(issue.severity, issue.check) for issue in result.issues_found}


async def test_a_site_that_was_not_hardened_does_not_pass(
    site: Site, small_blog: list[Path], attempt: RecordingAttempt
) -> None:
    """Security failed or was skipped: headers, redirect and score are missing, and are told."""
    content = await migrate(site, small_blog, attempt)
    result = await looked_at(site, content, security_score=None)
    told = " ".join(issue.what for issue in result.issues_found)
    assert "is sent without Content-Security-Policy" in told
    assert "left no score" in told
    assert f"http://{site.domain}/" in {issue.where for issue in result.issues_found}
    assert not result.passed


@pytest.mark.parametrize(
    ("thresholds", "security_score", "check"),
    [
        (QualityThresholds(max_load_time_seconds=1e-6), 1.0, "performance"),
        (QualityThresholds(min_security_score=0.95), 0.9, "security"),
    ],
)
async def test_thresholds_are_held_to(
    site: Site, content: ContentResult, thresholds: QualityThresholds, security_score: float, check: str
) -> None:
    """A slow page or a low score does not pass."""
    result = await looked_at(site, content, thresholds=thresholds, security_score=security_score)
    assert {issue.check for issue in result.issues_found} == {check}
    assert not result.passed


@pytest.mark.parametrize("wrong", [{"min_security_score": 1.1}, {"max_load_time_seconds": 0.0}])
def test_thresholds_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """A score above 1 can never be reached, no time is no time."""
    with pytest.raises(ValueError):
        QualityThresholds(**wrong)
