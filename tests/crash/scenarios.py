"""Every scenario, by name."""

from tests.crash.of_flow import FLOW
from tests.crash.of_steps import STEPS
from tests.crash.of_streams import STREAMS
from tests.crash.of_waits import WAITS

SCENARIOS = {scenario.name: scenario for scenario in (*STEPS, *FLOW, *WAITS, *STREAMS)}

KNOWN: dict[str, str] = {}
"""Scenarios that do not hold yet, and why."""
