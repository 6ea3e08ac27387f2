"""The content agent's work on real posts and images."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from PIL import Image

from agent_service.content.images import optimize
from agent_service.content.migration import migrate
from agent_service.content.pages import ATOM
from agent_service.content.posts import check_accessible, read_post, read_source, source_directory
from agent_service.content.rendering import render
from agent_service.faults import ContentInvalid, SourceNotAccessible
from agent_service.infrastructure.bucket import Bucket
from agent_service.site import Site
from agent_service.site_client import open_site
from agent_service.work import together
from tests.agents.conftest import BLOG, DOMAIN, RecordingAttempt, write_post

BLOG_SOURCES = [BLOG / name for name in ("locks", "logs", "flow")]


def rendered(path: Path) -> str:
    """One post as HTML, with no other post and no image around it."""
    return render(read_post(path, "source"), {}, {}).html


async def test_the_blog_becomes_a_site(site: Site, attempt: RecordingAttempt) -> None:
    """Every post is served, the feed lists them all, and what was said of savings is what was uploaded."""
    result = await migrate(site, BLOG_SOURCES, attempt)
    assert result.posts >= 12
    assert result.sources == {"locks": 5, "logs": 5, "flow": 5}
    assert result.warnings == []
    async with open_site(site) as session:
        for page in result.pages:
            async with session.get(site.url + page.removesuffix("index.html")) as response:
                assert response.status == 200, page
        async with session.get(site.url + "feed.xml") as response:
            feed = ElementTree.fromstring(await response.read())
        assert len(feed.findall(f"{{{ATOM}}}entry")) == result.posts
        async with session.get(site.url + "posts.json") as response:
            catalogue = msgspec.json.decode(await response.read())
    assert all(entry["words"] > 250 and entry["links"] and entry["images"] for entry in catalogue)
    saved = result.optimization
    assert saved.original_bytes == sum(path.stat().st_size for path in BLOG.glob("*/images/*"))
    assert saved.largest_webp_bytes < saved.original_bytes
    assert saved.saved_fraction == pytest.approx(1 - saved.largest_webp_bytes / saved.original_bytes, abs=1e-4)


async def test_migrating_again_serves_the_same_release(
    site: Site, small_blog: list[Path], attempt: RecordingAttempt
) -> None:
    """Nothing depends on when it is built."""
    first = await migrate(site, small_blog, attempt)
    again = await migrate(site, small_blog, attempt)
    assert again.release == first.release == 1
    assert again.paths == first.paths


async def test_links_between_sources_become_addresses_and_images_become_pictures(
    site: Site, small_blog: list[Path], attempt: RecordingAttempt
) -> None:
    """What works in a folder works on the site."""
    await migrate(site, small_blog, attempt)
    async with open_site(site) as session:
        async with session.get(site.url + "posts/one/") as response:
            one = await response.text()
        async with session.get(site.url + "posts/two/") as response:
            two = await response.text()
    assert 'href="/posts/two/"' in one
    assert 'href="/posts/one/#part"' in two
    assert '<source type="image/webp" srcset="/assets/square-480-' in one
    assert 'alt="A square"' in one
    assert '<span class="nb">print</span>' in two


async def test_it_locks_the_bucket_and_reports_progress(
    site: Site, small_blog: list[Path], attempt: RecordingAttempt
) -> None:
    """The bucket is held while it is written to, and progress rises."""
    attempt.locked.clear()
    attempt.said.clear()
    await migrate(site, small_blog, attempt)
    assert attempt.locked == [f"bucket/{DOMAIN}"]
    fractions = [fraction for fraction, _ in attempt.said]
    assert fractions == sorted(fractions)
    assert len(fractions) > 3


async def test_sources_are_migrated_in_parallel(site: Site, small_blog: list[Path], attempt: RecordingAttempt) -> None:
    """Each has something done before the other has everything done."""
    for source in small_blog:
        for number in range(4):
            Image.effect_noise((600, 400), 30).save(source / f"noise-{number}.png")
    attempt.said.clear()
    await migrate(site, small_blog, attempt)
    turns = [text.partition(":")[0] for _, text in attempt.said if text.startswith(("first:", "second:"))]
    assert turns.index("first") < len(turns) - 1 - turns[::-1].index("second")
    assert turns.index("second") < len(turns) - 1 - turns[::-1].index("first")


@pytest.mark.parametrize(
    ("body", "front", "told"),
    [
        ("Text.", {"title": None}, "missing required field `title`"),
        ("Text.", {"title": '""'}, "title is empty"),
        ("Text.", {"date": "yesterday"}, "Invalid RFC3339|Expected|date"),
        ("Text.", {"titel": "x"}, "unknown field `titel`"),
        ("Text.", {"title": "[unclosed"}, "front matter is no YAML in line"),
        ("Text.", {"slug": "two"}, "the slug 'two' is taken"),
        ("[there](nowhere.md)", {}, "dead link to nowhere.md"),
        ("[there](/posts/nowhere/)", {}, "/posts/nowhere/ leads nowhere"),
        ("[there](../second/two.md#no-such-part)", {}, "names an anchor that is not there"),
        ("![x](missing.png)", {}, "missing image missing.png"),
    ],
)
async def test_a_broken_post_is_named_and_nothing_is_uploaded(
    site: Site, small_blog: list[Path], attempt: RecordingAttempt, body: str, front: dict[str, str], told: str
) -> None:
    """All or nothing: the release that was served before still is."""
    write_post(small_blog[0], "broken", body, **front)
    with pytest.raises(ContentInvalid, match=told) as refused:
        await migrate(site, small_blog, attempt)
    assert "broken" in str(refused.value)
    assert Bucket(Path(site.bucket.directory)).current().version == 0


async def test_every_problem_is_told_at_once(site: Site, small_blog: list[Path], attempt: RecordingAttempt) -> None:
    """Nobody should have to deploy three times to find three mistakes."""
    (small_blog[0] / "no-front-matter.md").write_text("# Only text\n")
    (small_blog[1] / "not-utf8.md").write_bytes(b"---\ntitle: \xff\n---\n")
    (small_blog[1] / "no-image.png").write_bytes(b"\x89PNG but not really")
    with pytest.raises(ContentInvalid, match="3 problems") as refused:
        await migrate(site, small_blog, attempt)
    for name in ("first/no-front-matter.md", "second/not-utf8.md", "second/no-image.png"):
        assert name in str(refused.value)


async def test_drafts_stay_at_home(site: Site, small_blog: list[Path], attempt: RecordingAttempt) -> None:
    """A draft is read, and published nowhere."""
    write_post(small_blog[0], "later", "Not yet.", draft="true")
    result = await migrate(site, small_blog, attempt)
    assert not any("later" in path for path in result.paths)


def test_scripts_in_posts_do_not_survive(tmp_path: Path) -> None:
    """Raw HTML is allowed, code in it is not."""
    path = write_post(
        tmp_path,
        "sly",
        '<script>steal()</script><b onclick="steal()">bold</b>\n\n[x](javascript:steal())\n\n'
        '<iframe src="https://else.example"></iframe>',
    )
    html = rendered(path)
    assert "<b>bold</b>" in html
    assert not [word for word in ("<script", "onclick", 'href="javascript', "<iframe") if word in html]


class TestImages:
    def test_no_variant_is_wider_than_the_original_and_all_are_what_they_say(self, tmp_path: Path) -> None:
        """Decoded again, each variant has the size and the format that its name promises."""
        path = tmp_path / "photo.jpg"
        Image.effect_noise((1200, 800), 60).convert("RGB").save(path, quality=95)
        done = optimize(path)
        assert [variant.width for variant in done.webp] == [480, 960, 1200]
        for variant in (*done.webp, *done.fallback):
            with Image.open(io.BytesIO(variant.upload.content)) as image:
                assert image.size == (variant.width, variant.height)
                assert image.get_format_mimetype() == variant.upload.content_type

    def test_where_a_photo_was_taken_is_not_published(self, tmp_path: Path) -> None:
        """Location and camera stay behind."""
        path = tmp_path / "photo.jpg"
        exif = Image.Exif()
        exif[0x010F] = "Camera maker"
        Image.new("RGB", (300, 200)).save(path, exif=exif)
        assert b"Camera maker" in path.read_bytes()
        assert not any(b"Camera maker" in each.upload.content for each in optimize(path).fallback)

    def test_transparency_is_kept(self, tmp_path: Path) -> None:
        """A picture with an alpha channel has one afterwards."""
        path = tmp_path / "shape.png"
        Image.new("RGBA", (300, 200), (255, 0, 0, 100)).save(path)
        for variant in (*optimize(path).webp, *optimize(path).fallback):
            with Image.open(io.BytesIO(variant.upload.content)) as image:
                assert image.convert("RGBA").getchannel("A").getextrema()[0] < 255

    def test_what_is_no_image_is_refused(self, tmp_path: Path) -> None:
        """Whatever its name says."""
        (tmp_path / "x.png").write_bytes(b"GIF89a")
        with pytest.raises(ValueError, match="not a readable"):
            optimize(tmp_path / "x.png")


class TestSources:
    def test_a_source_has_to_be_there_and_hold_posts(self, tmp_path: Path) -> None:
        """Missing, empty, or a file: refused before anything is done."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("x")
        for name, told in (("missing", "cannot be read"), ("empty", "no markdown"), ("file", "cannot be read")):
            with pytest.raises(SourceNotAccessible, match=told):
                check_accessible(tmp_path / name)

    @pytest.mark.parametrize("given", [None, 3, "", {}, {"path": 3}, ["a"]])
    def test_what_names_no_folder_is_refused(self, given: object) -> None:
        """Paths, or mappings with a path."""
        with pytest.raises(SourceNotAccessible):
            source_directory(given)

    def test_one_broken_post_does_not_hide_the_others(self, tmp_path: Path) -> None:
        """The good ones are read, the bad one is named."""
        write_post(tmp_path, "good", "Text.")
        (tmp_path / "bad.md").write_text("no front matter")
        source = read_source(tmp_path)
        assert [post.slug for post in source.posts] == ["good"]
        assert [problem.partition(":")[0] for problem in source.problems] == [f"{tmp_path.name}/bad.md"]


async def test_the_first_failure_stops_the_others_and_keeps_its_type() -> None:
    """The failure report names the type, so it must not be wrapped in a group; nothing goes on unseen."""
    stopped = asyncio.Event()

    async def fails() -> None:
        raise ContentInvalid("one problem")

    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    with pytest.raises(ContentInvalid, match="one problem"):
        await together(goes_on(), fails())
    assert stopped.is_set()
