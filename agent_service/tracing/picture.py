"""A trace as a picture: rows of a tree beside a timeline, as text for a terminal and as SVG for a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from rich.table import Table
from rich.text import Text

from agent_service.tracing.trace import NS_PER_SECOND, Span, Trace

_COLOURS = ("#2f6fb3", "#c2571a", "#2e8b57", "#7d4fb5", "#b5367a", "#6b7a1f", "#14808a", "#8a5a2b")
_TERMINAL = ("blue", "dark_orange3", "green", "purple", "magenta", "yellow", "cyan", "red")
_WAIT = "#d8a13a"
_ROW, _LEFT, _RIGHT, _MARGIN, _HEAD = 20, 430, 720, 16, 84
_TICKS = 6
NAME_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True)
class Row:
    """A span and how deep it lies; moments of one name under one parent share a row."""

    depth: int
    spans: tuple[Span, ...]

    @property
    def label(self) -> str:
        """What it is called."""
        first = self.spans[0]
        subjects = {str(each.attributes.get("concert.resource", each.task_id)) for each in self.spans}
        subject = subjects.pop() if len(subjects) == 1 else ""
        name = first.name if subject in first.name else f"{first.name} {subject}"
        several = f" × {len(self.spans)}" if len(self.spans) > 1 else ""
        return f"{name[:NAME_CHARACTERS_MAX]}{several}"

    @property
    def is_wait(self) -> bool:
        """Whether somebody waited meanwhile."""
        return self.spans[0].name.startswith(("wait", "lock wait"))

    @property
    def took(self) -> str:
        """How long, for people; empty for moments."""
        first = self.spans[0]
        return "" if len(self.spans) > 1 or first.is_moment else _duration(first.end_ns - first.start_ns)


def rows(trace: Trace) -> list[Row]:
    """Depth first, by start."""
    return [row for root in trace.roots for row in _rows(trace, (root,), 0)]


def _rows(trace: Trace, spans: tuple[Span, ...], depth: int) -> Iterator[Row]:
    yield Row(depth, spans)
    moments: dict[str, list[Span]] = {}
    for parent in spans:
        for child in trace.children(parent):
            if child.is_moment and not trace.children(child):
                moments.setdefault(child.name, []).append(child)
    told: set[str] = set()
    for parent in spans:
        for child in trace.children(parent):
            if child.name not in moments or child not in moments[child.name]:
                yield from _rows(trace, (child,), depth + 1)
            elif child.name not in told:
                told.add(child.name)
                yield Row(depth + 1, tuple(moments[child.name]))


def as_table(trace: Trace, columns: int = 48) -> Table:
    """For a terminal; `columns` is how wide the timeline is."""
    begin, length = _extent(trace)
    services = _services(trace)
    table = Table(box=None, pad_edge=False, show_header=True, header_style="dim")
    for heading in ("span", "service", "", "took"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "took" else "left")
    for row in rows(trace):
        service = row.spans[0].service
        style = "yellow" if row.is_wait else _TERMINAL[services.index(service) % len(_TERMINAL)]
        table.add_row(
            "  " * row.depth + row.label, service, Text(_line(row, begin, length, columns), style=style), row.took
        )
    return table


def _line(row: Row, begin: int, length: int, columns: int) -> str:
    cells = [" "] * columns
    for span in row.spans:
        first = min(columns - 1, (span.start_ns - begin) * columns // length)
        last = min(columns - 1, max(first, (span.end_ns - begin) * columns // length))
        for cell in range(first, last + 1):
            cells[cell] = "·" if span.is_moment else "░" if row.is_wait else "█"
    return "".join(cells)


def as_svg(trace: Trace, title: str) -> str:
    """For a page."""
    begin, length = _extent(trace)
    services = _services(trace)
    found = rows(trace)
    width = _LEFT + _RIGHT + 3 * _MARGIN + 60
    height = _HEAD + len(found) * _ROW + 2 * _MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="system-ui, sans-serif" font-size="12">',
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="22" font-size="14" font-weight="600" fill="#1b1f24">{escape(title)}</text>',
    ]
    for number, service in enumerate(services):
        x = _MARGIN + number * 165
        out.append(f'<rect x="{x}" y="34" width="11" height="11" rx="2" fill="{_colour(services, service)}"/>')
        out.append(f'<text x="{x + 16}" y="44" fill="#1b1f24">{escape(service)}</text>')
    for tick in range(_TICKS + 1):
        at = _LEFT + tick * _RIGHT / _TICKS
        out.append(f'<path d="M{at:.1f} {_HEAD - 4}V{height - _MARGIN}" stroke="#e4e8ec"/>')
        out.append(
            f'<text x="{at:.1f}" y="{_HEAD - 8}" text-anchor="middle" fill="#57606a">'
            f"{_duration(length * tick // _TICKS)}</text>"
        )
    for number, row in enumerate(found):
        out += _svg_row(row, _HEAD + number * _ROW, begin, length, _colour(services, row.spans[0].service))
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _svg_row(row: Row, y: int, begin: int, length: int, colour: str) -> Iterator[str]:
    if row.is_wait:
        colour = _WAIT
    x = _MARGIN + row.depth * 14
    yield f'<text x="{x}" y="{y + 14}" fill="#1b1f24">{escape(row.label)}</text>'
    end = 0.0
    for span in row.spans:
        left = _LEFT + (span.start_ns - begin) / length * _RIGHT
        wide = (span.end_ns - span.start_ns) / length * _RIGHT
        if span.is_moment:
            yield f'<path d="M{left:.1f} {y + 4}l4 6l-4 6l-4 -6z" fill="{colour}"/>'
        else:
            yield f'<rect x="{left:.1f}" y="{y + 4}" width="{max(wide, 1.5):.1f}" height="12" rx="2" fill="{colour}"/>'
        end = max(end, left + max(wide, 4.0))
    yield f'<text x="{end + 6:.1f}" y="{y + 14}" font-size="11" fill="#57606a">{row.took}</text>'


def _extent(trace: Trace) -> tuple[int, int]:
    begin = min(each.start_ns for each in trace.spans)
    return begin, max(1, max(each.end_ns for each in trace.spans) - begin)


def _services(trace: Trace) -> list[str]:
    return list(dict.fromkeys(each.service for each in trace.spans))


def _colour(services: list[str], service: str) -> str:
    return _COLOURS[services.index(service) % len(_COLOURS)]


def _duration(time_ns: int) -> str:
    seconds = time_ns / NS_PER_SECOND
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if time_ns else ""
