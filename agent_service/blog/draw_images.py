"""Draws the blog's images. Run it to make them again: python -m agent_service.blog.draw_images"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 1600, 900
BLOG = Path(__file__).parent

INK = (29, 35, 48)
SOFT = (106, 116, 132)
BLUE, GREEN, RED, AMBER, VIOLET = (43, 108, 176), (47, 133, 90), (197, 48, 48), (192, 125, 25), (107, 70, 193)
PALE = {BLUE: (226, 238, 250), GREEN: (225, 243, 233), RED: (252, 229, 229), AMBER: (252, 240, 216)}
PALE[VIOLET] = (237, 230, 251)
Colour = tuple[int, int, int]


class Sheet:
    """A drawing on a softly shaded ground. Coordinates are pixels from the top left."""

    def __init__(self, seed: str, tint: Colour) -> None:
        self.image = _ground(seed, tint)
        self._draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, words: str, *, size: int = 34, colour: Colour = INK) -> None:
        """Words centred on (x, y)."""
        self._draw.text((x, y), words, font=ImageFont.load_default(size), fill=colour, anchor="mm")

    def box(self, x: float, y: float, w: float, h: float, words: str, colour: Colour, *, size: int = 32) -> None:
        """A rounded box whose top left corner is (x, y)."""
        edges = (x, y, x + w, y + h)
        shadow = (x + 5, y + 7, x + w + 5, y + h + 7)
        self._draw.rounded_rectangle(shadow, 16, fill=(205, 209, 216))
        self._draw.rounded_rectangle(edges, 16, fill=PALE[colour], outline=colour, width=4)
        self.text(x + w / 2, y + h / 2, words, size=size)

    def disc(self, x: float, y: float, radius: float, words: str, colour: Colour) -> None:
        """A disc around (x, y)."""
        edges = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(edges, fill=PALE[colour], outline=colour, width=5)
        self.text(x, y, words, size=30)

    def arrow(self, x0: float, y0: float, x1: float, y1: float, colour: Colour = INK, *, dashed: bool = False) -> None:
        """A straight arrow, dashed where something gets lost or is only wished for."""
        length = math.hypot(x1 - x0, y1 - y0)
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        end = length - 18
        dashes = range(0, int(end), 26) if dashed else [0]
        for start in dashes:
            stop = min(start + 15, end) if dashed else end
            line = (x0 + ux * start, y0 + uy * start, x0 + ux * stop, y0 + uy * stop)
            self._draw.line(line, fill=colour, width=5)
        left = (x1 - ux * 24 - uy * 12, y1 - uy * 24 + ux * 12)
        right = (x1 - ux * 24 + uy * 12, y1 - uy * 24 - ux * 12)
        self._draw.polygon([(x1, y1), left, right], fill=colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: Colour = SOFT, width: int = 4) -> None:
        """A plain line."""
        self._draw.line((x0, y0, x1, y1), fill=colour, width=width)

    def cross(self, x: float, y: float, colour: Colour = RED) -> None:
        """A cross over something refused."""
        self._draw.line((x - 24, y - 24, x + 24, y + 24), fill=colour, width=10)
        self._draw.line((x - 24, y + 24, x + 24, y - 24), fill=colour, width=10)


def _ground(seed: str, tint: Colour) -> Image.Image:
    """Paper with a soft glow of colour and a few very faint rings, different for each image and always the same."""
    chance = random.Random(seed)
    ground = Image.new("RGB", (WIDTH, HEIGHT), (250, 250, 247))
    glow = Image.new("RGB", (WIDTH // 8, HEIGHT // 8), (250, 250, 247))
    draw = ImageDraw.Draw(glow)
    for _ in range(5):
        x, y, r = chance.randrange(200), chance.randrange(112), chance.randrange(25, 60)
        share = chance.uniform(0.06, 0.16)
        colour = tuple(round(250 * (1 - share) + part * share) for part in tint)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    glow = glow.filter(ImageFilter.GaussianBlur(14)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    ground = Image.blend(ground, glow, 0.85)
    rings = ImageDraw.Draw(ground)
    x, y = chance.randrange(WIDTH), chance.randrange(HEIGHT)
    for radius in range(60, 1500, 90):
        colour = tuple(round(244 * 0.9 + part * 0.1) for part in tint)
        rings.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    return ground


def leases(s: Sheet) -> None:
    s.text(300, 150, "holder", colour=BLUE)
    s.text(300, 450, "coordinator", colour=INK)
    s.text(300, 750, "next in line", colour=GREEN)
    for y in (200, 500, 800):
        s.line(180, y, 1480, y)
    for x in (420, 600, 780):
        s.arrow(x, 205, x + 40, 490, BLUE)
        s.text(x + 20, 165, "renew", size=28, colour=BLUE)
    s.text(1010, 165, "silence", size=30, colour=RED)
    s.box(820, 420, 360, 70, "lease runs", AMBER, size=28)
    s.arrow(1190, 505, 1230, 790, GREEN)
    s.text(1340, 640, "granted", colour=GREEN)


def fencing_tokens(s: Sheet) -> None:
    s.box(120, 180, 380, 150, "first, token 33", BLUE)
    s.box(120, 580, 380, 150, "second, token 34", GREEN)
    s.box(1060, 360, 400, 190, "store: highest 34", AMBER)
    s.arrow(500, 650, 1050, 500, GREEN)
    s.text(800, 640, "write, 34", size=30, colour=GREEN)
    s.arrow(500, 255, 950, 390, RED, dashed=True)
    s.cross(985, 402)
    s.text(760, 270, "woke up late: write, 33", size=30, colour=RED)


def deadlocks(s: Sheet) -> None:
    spots = [(400, 250), (1200, 250), (800, 720)]
    names = ["A holds bucket", "B holds zone", "C holds key"]
    for (x, y), name, colour in zip(spots, names, (BLUE, GREEN, VIOLET), strict=True):
        s.box(x - 180, y - 65, 360, 130, name, colour, size=30)
    s.arrow(585, 250, 1015, 250)
    s.text(800, 210, "waits for zone", size=28, colour=SOFT)
    s.arrow(1160, 320, 900, 650)
    s.text(1190, 500, "waits for key", size=28, colour=SOFT)
    s.arrow(700, 650, 440, 320, RED, dashed=True)
    s.text(400, 500, "would close the circle", size=28, colour=RED)


def optimistic_concurrency(s: Sheet) -> None:
    s.box(600, 100, 400, 110, "value, revision 41", AMBER)
    s.box(150, 380, 380, 110, "one: based on 41", BLUE)
    s.box(1070, 380, 380, 110, "other: based on 41", VIOLET)
    s.arrow(620, 215, 400, 370, BLUE)
    s.arrow(980, 215, 1200, 370, VIOLET)
    s.box(600, 680, 400, 110, "value, revision 42", GREEN)
    s.arrow(400, 495, 620, 680, BLUE)
    s.arrow(1200, 495, 1060, 640, RED, dashed=True)
    s.cross(1035, 672)
    s.text(1280, 620, "refused, and told 42", size=30, colour=RED)


def shared_and_exclusive(s: Sheet) -> None:
    s.box(120, 260, 420, 380, "", AMBER)
    s.text(330, 220, "inside", colour=AMBER)
    s.disc(240, 450, 75, "read", BLUE)
    s.disc(420, 450, 75, "read", BLUE)
    s.text(1060, 220, "waiting", colour=SOFT)
    s.disc(720, 450, 85, "write", RED)
    for x in (930, 1110, 1290):
        s.disc(x, 450, 75, "read", BLUE)
    s.arrow(625, 450, 550, 450, RED)
    s.line(815, 620, 1380, 620, BLUE)
    s.text(1100, 665, "came later, wait behind", size=30, colour=BLUE)


def append_only_logs(s: Sheet) -> None:
    colours = [BLUE, GREEN, AMBER, BLUE, VIOLET, GREEN, BLUE, RED]
    for place, colour in enumerate(colours):
        s.box(110 + place * 172, 180, 150, 130, str(place + 1), colour, size=44)
    for at, name, colour in ((3, "state", BLUE), (5, "metrics", GREEN), (7, "traces", VIOLET)):
        x = 185 + at * 172
        s.arrow(x, 590, x, 330, colour)
        s.box(x - 130, 600, 260, 110, name, colour)


def group_commit(s: Sheet) -> None:
    for row, colour in enumerate((BLUE, GREEN, VIOLET)):
        y = 200 + row * 220
        s.box(760, y, 380, 110, f"commit {row + 1}", colour)
        for place in range(row * 2 + 1):
            s.disc(180 + place * 95, y + 55, 38, "", colour)
        s.arrow(640, y + 55, 750, y + 55, colour)
        s.box(1260, y, 200, 110, "answers", colour, size=28)
        s.arrow(1145, y + 55, 1252, y + 55, colour)


def snapshots(s: Sheet) -> None:
    for place in range(9):
        s.box(90 + place * 160, 240, 140, 110, str(place + 1), BLUE if place < 5 else GREEN, size=38)
    s.box(330, 560, 460, 140, "snapshot at 5", AMBER)
    s.arrow(800, 370, 640, 550, AMBER)
    s.arrow(800, 640, 1060, 400, GREEN)
    s.text(1180, 610, "restart: snapshot, then 6 to 9", size=30, colour=GREEN)


def idempotency(s: Sheet) -> None:
    s.text(350, 130, "caller", colour=BLUE)
    s.text(1250, 130, "coordinator", colour=GREEN)
    s.line(350, 170, 350, 820)
    s.line(1250, 170, 1250, 820)
    s.arrow(360, 240, 1240, 310, BLUE)
    s.text(800, 235, "request 7f3", size=30, colour=BLUE)
    s.arrow(1240, 400, 800, 440, RED, dashed=True)
    s.cross(760, 443)
    s.arrow(360, 560, 1240, 620, BLUE)
    s.text(800, 550, "request 7f3, again", size=30, colour=BLUE)
    s.arrow(1240, 690, 360, 760, GREEN)
    s.text(800, 690, "the first answer", size=30, colour=GREEN)


def late_subscribers(s: Sheet) -> None:
    s.line(120, 300, 1480, 300, INK, 6)
    for place in range(12):
        colour = GREEN if place in (2, 5, 9) else BLUE
        s.disc(170 + place * 115, 300, 36, str(place + 1), colour)
    s.arrow(860, 520, 860, 350, AMBER)
    s.text(860, 560, "starts to listen here", size=30, colour=AMBER)
    s.line(400, 700, 860, 700, GREEN, 10)
    s.text(620, 750, "history", size=30, colour=GREEN)
    s.line(860, 700, 1440, 700, BLUE, 10)
    s.text(1150, 750, "live", size=30, colour=BLUE)


def dag_scheduling(s: Sheet) -> None:
    rows = [("a", 0, 300, BLUE), ("b", 0, 560, GREEN), ("c", 560, 280, BLUE), ("d", 560, 220, GREEN)]
    s.text(200, 110, "by level", colour=SOFT)
    for row, (name, start, length, colour) in enumerate(rows):
        s.box(320 + start, 80 + row * 80, length, 62, name, colour, size=28)
    s.line(880, 60, 880, 400, RED, 3)
    s.line(120, 450, 1480, 450)
    s.text(200, 520, "when ready", colour=SOFT)
    rows = [("a", 0, 300, BLUE), ("b", 0, 560, GREEN), ("c", 300, 280, BLUE), ("d", 560, 220, GREEN)]
    for row, (name, start, length, colour) in enumerate(rows):
        s.box(320 + start, 490 + row * 80, length, 62, name, colour, size=28)
    s.text(1290, 640, "c need not wait for b", size=30, colour=GREEN)


def backoff_and_jitter(s: Sheet) -> None:
    chance = random.Random("jitter")
    for base, name, colour in ((360, "without", RED), (760, "with", GREEN)):
        s.line(160, base, 1460, base)
        s.text(250, base - 240, name, colour=colour)
        for burst, at in enumerate((340, 560, 980)):
            for place in range(14):
                spread = chance.uniform(0, (170, 360, 420)[burst]) if colour == GREEN else place * 3
                height = chance.uniform(60, 110) if colour == GREEN else 200 - burst * 20
                s.line(at + spread, base, at + spread, base - height, colour, 4)


def circuit_breakers(s: Sheet) -> None:
    s.disc(320, 320, 140, "closed", GREEN)
    s.disc(1280, 320, 140, "open", RED)
    s.disc(800, 700, 140, "half-open", AMBER)
    s.arrow(470, 290, 1130, 290, RED)
    s.text(800, 245, "too many failures", size=30, colour=RED)
    s.arrow(1190, 440, 930, 630, AMBER)
    s.text(1180, 590, "after a pause", size=30, colour=AMBER)
    s.arrow(670, 630, 420, 430, GREEN)
    s.text(400, 590, "trial succeeds", size=30, colour=GREEN)


def tracing(s: Sheet) -> None:
    rows = [
        (160, 1280, "run", VIOLET),
        (200, 260, "infrastructure", BLUE),
        (480, 140, "wait", AMBER),
        (640, 420, "content", BLUE),
        (480, 300, "security", GREEN),
        (1080, 330, "quality", VIOLET),
    ]
    for row, (x, length, name, colour) in enumerate(rows):
        s.box(x, 100 + row * 120, length, 76, name, colour, size=28)
    s.arrow(620, 380, 650, 455, RED, dashed=True)


def graceful_shutdown(s: Sheet) -> None:
    steps = ["no new work", "finish", "hand back", "goodbye", "close"]
    for place, (name, colour) in enumerate(zip(steps, (BLUE, GREEN, AMBER, VIOLET, RED), strict=True)):
        s.box(90 + place * 290, 150 + place * 125, 260, 100, name, colour, size=30)
        if place:
            s.arrow(70 + place * 290 - 80, 150 + place * 125 - 20, 90 + place * 290 - 4, 190 + place * 125)


IMAGES: dict[str, Sequence[tuple[Callable[[Sheet], None], str, Colour]]] = {
    "locks": [
        (leases, "png", BLUE),
        (fencing_tokens, "png", GREEN),
        (deadlocks, "png", RED),
        (optimistic_concurrency, "png", AMBER),
        (shared_and_exclusive, "png", VIOLET),
    ],
    "logs": [
        (append_only_logs, "png", BLUE),
        (group_commit, "png", GREEN),
        (snapshots, "jpg", AMBER),
        (idempotency, "png", VIOLET),
        (late_subscribers, "png", BLUE),
    ],
    "flow": [
        (dag_scheduling, "png", GREEN),
        (backoff_and_jitter, "png", RED),
        (circuit_breakers, "png", AMBER),
        (tracing, "jpg", VIOLET),
        (graceful_shutdown, "jpg", BLUE),
    ],
}


def main() -> None:
    """Draws every image into the source it belongs to."""
    for source, images in IMAGES.items():
        directory = BLOG / source / "images"
        directory.mkdir(parents=True, exist_ok=True)
        for draw, suffix, tint in images:
            name = draw.__name__.replace("_", "-")
            sheet = Sheet(name, tint)
            draw(sheet)
            options = {"quality": 90} if suffix == "jpg" else {"optimize": True}
            sheet.image.save(directory / f"{name}.{suffix}", **options)


if __name__ == "__main__":
    main()
