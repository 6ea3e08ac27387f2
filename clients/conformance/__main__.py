"""Runs the conformance scenarios: see README.md."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable

from clients.conformance.driver import DriverFailed, Language, languages
from clients.conformance.scenario import load, scenarios_for
from clients.conformance.suite import Verdict, run_suite
from clients.conformance.table import PAGE, page, passed, read


def main() -> int:
    """Returns the exit code: 0 when everything passed."""
    parser = argparse.ArgumentParser(prog="python -m clients.conformance", description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help="all that have a driver when none is named")
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="scenarios whose name or topic has it; of several words one"
    )
    parser.add_argument("--table", action="store_true", help="write docs/conformance.md from what passed")
    parser.add_argument("--toolchains", action="store_true", help="only say which languages can be tested here")
    parser.add_argument("--at-once", type=int, default=8, metavar="COUNT", help="how many are played at a time")
    given = parser.parse_args()
    known = {language.key: language for language in languages()}
    if given.toolchains:
        return _say_toolchains(known.values())
    cells = read()
    code = 0
    for key in given.languages or known:
        if key not in known:
            parser.error(f"there is no driver for {key!r}, only for {', '.join(known)}")
        language = known[key]
        if language.missing():
            print(f"{language.name}: left out, without {', '.join(language.missing())}")
            continue
        try:
            language.make()
        except DriverFailed as error:
            print(f"{language.name}: {error}")
            code = 1
            continue
        words = given.only or [""]
        scenarios = [
            each
            for each in scenarios_for(basic=language.basic)
            if any(word in each.name or word in each.topic for word in words)
        ]
        verdicts = asyncio.run(run_suite(language, scenarios, at_once=given.at_once, tell=_tell))
        cells |= passed(verdicts, language)
        failed = sum(bool(each.failure) for each in verdicts)
        print(f"{language.name}: {len(verdicts) - failed} of {len(verdicts)} passed")
        code = code or int(failed > 0)
    if given.table:
        PAGE.write_text(page(load(), languages(), cells))
    return code


def _say_toolchains(found: Iterable[Language]) -> int:
    for language in found:
        missing = " and ".join(language.missing())
        print(f"{language.name}: {f'left out of the tests, {missing} is not here' if missing else 'tested'}")
    return 0


def _tell(verdict: Verdict) -> None:
    word = "FAILED" if verdict.failure else "passed"
    print(f"{word}  {verdict.seconds:5.1f} s  {verdict.scenario.topic}: {verdict.scenario.name}", flush=True)
    if verdict.failure:
        print(f"  {verdict.failure}", flush=True)


sys.exit(main())
