"""`flujo --help` answers at once: it loads neither the engine nor what draws."""

import json
import subprocess
import sys

LOOK = """
import json, sys, time
from flujo.cli import main
sys.argv = ["flujo", *{words!r}]
try:
    main()
except SystemExit as end:
    print(json.dumps(dict(code=end.code, cpu=time.process_time(), modules=sorted(sys.modules))), file=sys.stderr)
"""


def loaded(*words: str) -> dict[str, object]:
    outcome = subprocess.run(
        [sys.executable, "-c", LOOK.format(words=list(words))], capture_output=True, text=True, check=True
    )
    return json.loads(outcome.stderr)


def test_help_loads_little() -> None:
    seen = loaded("--help")
    modules = seen["modules"]
    assert isinstance(modules, list)
    roots = {str(name).partition(".")[0] for name in modules}
    assert seen["code"] == 0
    assert not roots & {"pydantic", "rich", "asyncio", "sqlite3", "importlib.metadata"}
    rooms = {str(name).split(".")[1] for name in modules if str(name).startswith("flujo.")}
    assert rooms == {"cli", "errors"}


def test_help_is_quick() -> None:
    assert min(float(str(loaded("--help")["cpu"])) for _ in range(3)) <= 0.3


def test_showing_settings_loads_no_engine() -> None:
    modules = loaded("config", "show")["modules"]
    assert isinstance(modules, list)
    assert not {"rich.live", "rich.console", "flujo.engine", "asyncio"} & {str(name) for name in modules}
