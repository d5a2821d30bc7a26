"""`flujo --help` answers at once: it loads neither the engine nor what draws."""

import json
import subprocess
import sys
from dataclasses import dataclass

LOOK = """
import json, sys, time
from flujo.cli import main
sys.argv = ["flujo", *{words!r}]
try:
    main()
except SystemExit as end:
    seen = dict(code=end.code, cpu=time.process_time(), modules=sorted(sys.modules))
    print(json.dumps(seen), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a call loaded, and how many seconds of a processor it took."""

    code: int
    cpu: float
    modules: list[str]


def loaded(*words: str) -> Seen:
    outcome = subprocess.run(
        [sys.executable, "-c", LOOK.format(words=list(words))], capture_output=True, text=True, check=True
    )
    return Seen(**json.loads(outcome.stderr))


def test_help_loads_little() -> None:
    seen = loaded("--help")
    roots = {name.partition(".")[0] for name in seen.modules}
    assert seen.code == 0
    assert not roots & {"pydantic", "rich", "asyncio", "sqlite3"}
    assert {name.split(".")[1] for name in seen.modules if name.startswith("flujo.")} == {"cli", "errors"}


def test_help_is_quick() -> None:
    assert min(loaded("--help").cpu for _ in range(3)) <= 0.3


def test_showing_settings_loads_no_engine() -> None:
    modules = loaded("config", "show").modules
    assert not {"rich.live", "rich.console", "flujo.engine", "asyncio"} & set(modules)
