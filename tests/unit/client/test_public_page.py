"""What the package offers, and that its two halves say the same."""

import inspect
import subprocess
import sys
from pathlib import Path

import novitai_client
from novitai_client import AsyncClient, Client, errors, models

ROOT = Path(__file__).resolve().parents[3]


def test_every_public_name_can_be_imported() -> None:
    """`__all__` is the whole public surface, in order, and each name on it is there."""
    names = novitai_client.__all__

    assert names == [*sorted(name for name in names if name != "webhooks"), "webhooks"]
    assert all(getattr(novitai_client, name) is not None for name in names)


def test_every_error_and_shape_is_public() -> None:
    """A new error class or shape is on the page from its first day."""
    here = [
        name
        for module in (errors, models)
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__.startswith(module.__name__)
    ]

    assert set(here) - set(novitai_client.__all__) == {"Shape", "Problem"}


def test_every_error_class_is_in_the_drawing() -> None:
    """The tree at the top of the module of errors shows all of them."""
    classes = [cls.__name__ for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, Exception)]

    assert [name for name in classes if name not in (errors.__doc__ or "")] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(novitai_client, "AsynClient")


def test_importing_the_package_loads_no_http() -> None:
    """The command line starts quickly: help and completion load neither HTTP nor shapes."""
    code = (
        "import sys, novitai_client, novitai_client.cli; sys.exit('httpx2' in sys.modules or 'msgspec' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, check=False)

    assert done.returncode == 0


def test_the_blocking_client_is_fresh() -> None:
    """`_sync` is what the generator makes of `_async` today."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_sync_client.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_both_clients_have_the_same_calls() -> None:
    """Whoever knows one knows the other: names, parameters, defaults."""
    waits, blocks = (
        {
            name: str(inspect.signature(call).replace(return_annotation=None))
            for name, call in inspect.getmembers(cls, callable)
            if name[0] != "_"
        }
        for cls in (AsyncClient, Client)
    )

    waits["close"] = waits.pop("aclose")
    assert waits == blocks
    assert len(blocks) > 25
