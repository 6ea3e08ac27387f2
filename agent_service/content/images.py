"""Image optimisation: every image in the widths a page can use, as WebP and in a format every browser reads."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec
from PIL import Image, ImageOps

from agent_service.infrastructure.bucket import Upload

WIDTHS = (480, 960, 1600)
WEBP_QUALITY = 80
JPEG_QUALITY = 82
PIXELS_MAX = 50_000_000
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One size and format of an image."""

    path: str
    width: int
    height: int
    upload: Upload


class OptimizedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image and what became of it, by rising width."""

    source: Path
    original_bytes: int
    webp: list[Variant]
    fallback: list[Variant]


def optimize(path: Path) -> OptimizedImage:
    """Resizes and encodes one image; never wider than it was. Blocking: Pillow lets other threads run meanwhile.

    Raises ValueError for what is no image or too large to be one.
    """
    original = path.read_bytes()
    try:
        with Image.open(io.BytesIO(original), formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > PIXELS_MAX:
                raise ValueError(f"more than {PIXELS_MAX} pixels")
            is_photo = opened.format == "JPEG"
            # Turned upright; location, camera and the rest of the metadata are left behind.
            picture = ImageOps.exif_transpose(opened).convert("RGB" if is_photo else "RGBA")
    except (OSError, SyntaxError) as error:
        raise ValueError("not a readable PNG or JPEG image") from error
    if not is_photo and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
    widths = sorted({min(width, picture.width) for width in WIDTHS})
    sized = [_resized(picture, width) for width in widths]
    return OptimizedImage(
        source=path.resolve(),
        original_bytes=len(original),
        webp=[_variant(path.stem, image, "webp", _webp(image, is_photo)) for image in sized],
        fallback=[_fallback(path.stem, image, is_photo) for image in sized],
    )


def _resized(picture: Image.Image, width: int) -> Image.Image:
    if width == picture.width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _webp(image: Image.Image, is_photo: bool) -> bytes:
    return _encoded(image, "WEBP", quality=WEBP_QUALITY if is_photo else 90, method=2)


def _fallback(stem: str, image: Image.Image, is_photo: bool) -> Variant:
    if is_photo:
        content = _encoded(image, "JPEG", quality=JPEG_QUALITY, progressive=True, optimize=True)
        return _variant(stem, image, "jpg", content)
    # Diagrams have few colours: a palette keeps them sharp at a fraction of the size.
    reduced = image if image.mode == "RGBA" else image.quantize(128, dither=Image.Dither.NONE)
    return _variant(stem, image, "png", _encoded(reduced, "PNG", compress_level=7))


def _encoded(image: Image.Image, kind: str, **options: int | bool) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _variant(stem: str, image: Image.Image, suffix: str, content: bytes) -> Variant:
    digest = hashlib.sha256(content).hexdigest()[:12]
    media_type = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}[suffix]
    return Variant(
        path=f"assets/{stem}-{image.width}-{digest}.{suffix}",
        width=image.width,
        height=image.height,
        upload=Upload(content=content, content_type=media_type),
    )
