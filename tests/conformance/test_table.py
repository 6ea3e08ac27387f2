"""docs/conformance.md says what is so: every scenario, every client, nothing left empty."""

from __future__ import annotations

from clients.conformance.driver import languages
from clients.conformance.scenario import load
from clients.conformance.table import NOT_ASKED, PAGE, PASSED, page, read

TOPICS = """
registration, update, success, failure, not retryable, preconditions, time-out, cancel, progress, results by value,
results by reference, context, unicode, numbers, 1 MiB payloads, over-limit errors, stale attempt, reconnect and resume,
lost lease, take-over, drain, coordinator SIGKILL and restart, frames coalesced, frames split, lock queue, shared locks,
several locks at once, lock upgrade, deadlock, lost lock, state merge, state replace, state append, conflict detail,
filters, resume without gap or repeat, slow subscriber, named subscriptions, idempotent repeats, error table,
trace context, an hour of clock skew, unknown fields and enum values, bad results, feature level, TLS,
mutual TLS, tokens, permissions
"""


def test_the_page_is_what_the_scenarios_and_the_clients_are() -> None:
    """Written again with its own cells it does not change: no scenario is missing, none is gone, no client either."""
    assert page(load(), languages(), read()) == PAGE.read_text(), "run `python -m clients.conformance --table`"


def test_the_table_is_full() -> None:
    """Every client passes every scenario that is asked of it; test_conformance proves the cells."""
    cells = read()
    open_cells = {cell: word for cell, word in cells.items() if word not in (PASSED, NOT_ASKED)}
    assert open_cells == {}
    assert {name for _scenario, name in cells} == {language.name for language in languages()}


def test_four_languages_have_a_client() -> None:
    """And a column each."""
    assert {language.name for language in languages()} >= {"Go", "Java", "Python", "TypeScript"}


def test_every_topic_that_the_contract_promises_has_its_scenarios() -> None:
    """By name, and enough of them."""
    scenarios = load()
    assert len(scenarios) >= 45
    promised = {topic.strip() for topic in TOPICS.replace("\n", " ").split(",")}
    assert promised - {each.topic for each in scenarios} == set()
