"""docs/conformance.md: which client passes which scenario. Written from what passed; read back for those not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clients.conformance.driver import ROOT, Language
from clients.conformance.scenario import Scenario
from clients.conformance.suite import Verdict

PAGE = ROOT / "docs/conformance.md"
PASSED, FAILED, NOT_ASKED, NOT_RUN = "✔", "✘", "–", " "

_HEAD = """\
# Conformance

What the contract promises a client, and that every client keeps it. Each row is a
[scenario](../clients/conformance/scenarios): data that knows no language, played against a real coordinator and judged
by its event log and its answers, never by the client's own word ([how](../clients/conformance/README.md)). This page is
written by

```console
$ python -m clients.conformance --table
```

and a test fails when it is not what the scenarios and the clients are now. ✔ passes; – is not asked of what is no whole
client ([the plain agent](../clients/plain) is the proof of [protocol.md](protocol.md) and plays the basic scenarios).

"""

Cells = dict[tuple[str, str], str]
"""By scenario and language, as they are named on the page."""


def passed(verdicts: Iterable[Verdict], language: Language) -> Cells:
    """The cells that a run of a language gives."""
    return {(each.scenario.name, language.name): FAILED if each.failure else PASSED for each in verdicts}


def page(scenarios: Sequence[Scenario], languages: Sequence[Language], cells: Cells) -> str:
    """The page."""
    names = [language.name for language in languages]
    lines = [f"| topic | scenario | {' | '.join(names)} |", "| --- | --- |" + " :-: |" * len(names)]
    for topic in sorted({each.topic for each in scenarios}, key=str.lower):
        for scenario in (each for each in scenarios if each.topic == topic):
            row = [_cell(scenario, language, cells) for language in languages]
            lines.append(f"| {topic} | {scenario.name} | {' | '.join(row)} |")
    topics = len({each.topic for each in scenarios})
    return f"{_HEAD}{len(scenarios)} scenarios of {topics} topics.\n\n" + "\n".join(lines) + "\n"


def read() -> Cells:
    """The cells of the page as it is."""
    if not PAGE.exists():
        return {}
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("|")
    ]
    names, cells = rows[0][2:], rows[2:]
    return {
        (row[1], name): row[2 + index] or NOT_RUN for row in cells for index, name in enumerate(names) if len(row) > 2
    }


def _cell(scenario: Scenario, language: Language, cells: Cells) -> str:
    if language.basic and not scenario.basic:
        return NOT_ASKED
    return cells.get((scenario.name, language.name), NOT_RUN)
