from __future__ import annotations

import inspect
import pkgutil

import concert
import concert.agent

SURFACE = """
Aborted AlreadyExists Cancelled Client ConcertError Cursor CursorBehind CursorCompacted CursorInFuture
DeadlineExceeded Deadlock DependencyCycleError DependencyUnknown Event EventType Events Explanation FailedPrecondition
FeatureMissing InternalError InvalidArgument InvalidPayload KeyChange LimitReached Lock LockLost LockScope LockTimeout
LockUpgrade
Locks LogMismatch LogTailLost Modified NamedSubscription NoSession NotFound NotHolder Payload PermissionDenied
RequestIdReused Run
RunHandle RunNotRetryable RunOver RunPlan RunStatus RunUpdate Runs Session SessionOver StaleAttempt StaleFence State
StateConflictError StateEntry StateRevision StateWatch Subscription Subscriptions Task TaskStatus Tls TokenSource
Unauthenticated Unavailable connect credentials_from_environment draft from_payload on_agent on_capability on_task retry
task task_lock tls to_payload token_file
"""


def test_the_public_face_is_what_was_decided() -> None:
    """What `import concert` gives is a contract: nothing comes or goes unnoticed."""
    assert concert.__all__ == sorted(SURFACE.split(), key=lambda name: (name[0].islower(), name))
    assert all(hasattr(concert, name) for name in concert.__all__)


def test_everything_public_is_described() -> None:
    """Every public class and function, and every public method of them, has a docstring, perhaps inherited."""
    for module in (concert, concert.agent):
        for name in module.__all__:
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)) or thing.__module__.startswith("concert.v1"):
                continue
            assert inspect.getdoc(thing), name
            for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    assert inspect.getdoc(value), f"{name}.{member}"


def test_modules_beside_the_public_ones_are_private() -> None:
    """Only errors, agent, audit and the generated v1 (and the testing kit) are named without an underscore."""
    found = {module.name for module in pkgutil.iter_modules(concert.__path__) if not module.name.startswith("_")}
    assert found <= {"agent", "audit", "errors", "testing", "cli", "v1"}


def test_the_exception_tree_at_the_top_of_its_file_is_the_tree() -> None:
    """Every exception stands in the drawing, and the drawing names no other."""
    drawn = [line.split("──")[-1].split()[0] for line in (concert.errors.__doc__ or "").splitlines() if "──" in line]
    kinds = {
        name
        for name, kind in vars(concert.errors).items()
        if inspect.isclass(kind) and issubclass(kind, concert.ConcertError) and not name.startswith("_")
    }
    assert sorted(["ConcertError", *drawn]) == sorted(kinds)
    assert kinds <= set(concert.__all__)
