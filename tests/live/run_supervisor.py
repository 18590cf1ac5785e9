"""A supervisor, run as a program: what it is to start is JSON in its first argument."""

from __future__ import annotations

import json
import sys

from fastcap.cli.messages import say
from fastcap.pipeline.supervisor import Command, Supervisor

told = json.loads(sys.argv[1])
supervisor = Supervisor(
    Command(**told["capture"]), Command(**told["service"]), grace=told["grace"], on_note=say
)
sys.exit(supervisor.run())
