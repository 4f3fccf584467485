"""The pytest plugin, as the tests of somebody else's program meet it."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from docket import pytest_plugin
from tests.fleet.process import ServerProcess

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]

# Whether the plugin is found by itself depends on how the package is installed; what is tested here must not.
PLUGIN = ("-p", "no:docket", "-p", "docket.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:cov")

GREETING = """
from datetime import timedelta
import pytest
from docket import testing

async def greet(name):
    return "Hello, " + name

{mark}
async def test_a_worker_works(docket, worker):
    execution = await docket.add(greet)("Jane")
    await worker.run_until_finished()
    assert await execution.get_result() == "Hello, Jane"

{mark}
async def test_time_can_be_moved(docket):
    await docket.add(greet, when=await testing.now(docket) + timedelta(hours=1))("Jane")
    (ran,) = await testing.advance(docket, timedelta(hours=1))
    assert ran.result == "Hello, Jane"

names = []

{mark}
@pytest.mark.parametrize("number", [1, 2])
async def test_every_test_has_a_docket_of_its_own(docket, number):
    names.append(docket.name)
    assert len(set(names)) == number
    await testing.assert_no_tasks(docket)
    await docket.add(greet)("Jane")
"""


@pytest.fixture(autouse=True)
def without_warnings(pytester: pytest.Pytester) -> None:
    """Whatever the plugin warns of is an error, as it may be in the tests of others."""
    configure(pytester, "asyncio_default_fixture_loop_scope = function")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*PLUGIN, *arguments)


def configure(pytester: pytest.Pytester, *lines: str) -> None:
    pytester.makeini("\n".join(["[pytest]", "filterwarnings = error", *lines]))


def test_the_package_announces_the_plugin() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    named = project["project"]["entry-points"]["pytest11"]["docket"]

    assert importlib.import_module(named) is pytest_plugin


def test_the_fixtures_work_with_pytest_asyncio_in_strict_mode(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(GREETING.format(mark="@pytest.mark.asyncio"))

    run(pytester, "--asyncio-mode=strict").assert_outcomes(passed=4)


def test_the_fixtures_work_with_pytest_asyncio_in_auto_mode(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(GREETING.format(mark=""))

    run(pytester, "--asyncio-mode=auto").assert_outcomes(passed=4)


def test_the_fixtures_work_beside_no_plugin_but_pytest_asyncio(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(GREETING.format(mark="@pytest.mark.asyncio"))

    result = pytester.runpytest_subprocess("-p", "pytest_asyncio.plugin", *PLUGIN, timeout=100)

    result.assert_outcomes(passed=4)


def test_the_fixtures_work_with_anyio_where_pytest_asyncio_is_not_installed(
    pytester: pytest.Pytester,
) -> None:
    configure(pytester)
    pytester.makepyfile(missing="import sys\nsys.modules['pytest_asyncio'] = None")
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    pytester.makepyfile(GREETING.format(mark="@pytest.mark.anyio"))
    pytester.syspathinsert()

    result = pytester.runpytest_subprocess(
        "-p", "no:asyncio", "-p", "missing", *PLUGIN, timeout=100
    )

    result.assert_outcomes(passed=4)


def test_a_loop_of_a_module_is_the_loop_of_its_docket(pytester: pytest.Pytester) -> None:
    configure(pytester, "asyncio_default_fixture_loop_scope = module")
    pytester.makepyfile(GREETING.format(mark="@pytest.mark.asyncio(loop_scope='module')"))

    run(pytester).assert_outcomes(passed=4)


def test_the_example_of_the_documentation_passes(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "testing.md").read_text("utf-8")
    (example,) = re.findall(r"^```python\n(.*?def test_.*?)^```", page, re.MULTILINE | re.DOTALL)[
        :1
    ]
    pytester.makepyfile(example)

    run(pytester).assert_outcomes(passed=2)


def test_fixtures_of_the_same_names_go_first(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def docket(): return "mine"

        @pytest.fixture
        def worker(docket): return "mine, too"

        def test_mine(docket, worker):
            assert (docket, worker) == ("mine", "mine, too")
        """
    )

    run(pytester).assert_outcomes(passed=1)


USES = """
async def test_where(docket):
    assert docket.url == {url!r}
    await docket.add(print, key="a")()
"""


def test_the_configuration_says_where_the_docket_is_and_nothing_is_left_there(
    pytester: pytest.Pytester, own_server: ServerProcess
) -> None:
    configure(
        pytester,
        f"docket_url = {own_server.url}",
        "asyncio_mode = auto",
        "asyncio_default_fixture_loop_scope = function",
    )
    own_server.call("SET", "somebody:else", "stays")
    pytester.makepyfile(USES.format(url=own_server.url))

    run(pytester).assert_outcomes(passed=1)

    assert own_server.call("KEYS", "*") == [b"somebody:else"]


def test_a_fixture_says_where_the_docket_is(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest\n@pytest.fixture(scope='session')\ndef docket_url(): return 'memory://mine'"
    )
    pytester.makepyfile(USES.format(url="memory://mine"))

    run(pytester, "--asyncio-mode=auto").assert_outcomes(passed=1)


def test_the_fixtures_are_listed_with_what_they_are(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--fixtures")

    result.stdout.fnmatch_lines_random(
        [
            "docket_url [[]session scope[]] -- *",
            "docket -- *",
            "    A docket of this test's own, open, empty, and gone afterwards.",
            "worker -- *",
        ]
    )


def test_a_run_that_needs_no_docket_loads_nothing_of_it() -> None:
    program = (
        "import sys; import docket.pytest_plugin; "
        "print(sorted(name for name in sys.modules if name.startswith(('docket.', 'redis'))))"
    )

    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "['docket._version', 'docket.pytest_plugin']"
