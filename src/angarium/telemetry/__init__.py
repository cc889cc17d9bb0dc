"""Telemetry: logs (`logs.py`) and metrics."""

from angarium.telemetry.logs import EVENTS as EVENTS
from angarium.telemetry.logs import configure as configure
from angarium.telemetry.logs import logger as logger
