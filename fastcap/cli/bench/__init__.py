"""fastcap bench"""

from __future__ import annotations

import click

from fastcap.cli.bench.capture import capture
from fastcap.cli.bench.disk import disk
from fastcap.cli.bench.drain import drain
from fastcap.cli.bench.filter import filter_
from fastcap.cli.bench.plan import plan
from fastcap.cli.bench.ring import ring


@click.group("bench", short_help="Measure what this machine can take.")
def command() -> None:
    """Will this box drop frames? What a rate needs, and what disk and processors here give.

    \b
      fastcap bench capture
      fastcap bench drain
      fastcap bench plan --rate 10G --frame 512 --snaplen 80 --days 30 --hit 1%
      fastcap bench disk /data
      fastcap bench ring --rate 14.88M
      fastcap bench filter --filter 'tcp port 443' net1.pcap
    """


for _command in (plan, capture, drain, ring, disk, filter_):
    command.add_command(_command)
