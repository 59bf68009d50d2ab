"""What the figures were measured on."""

import platform

from tasks.runtimes.processor import cpu, cpu_count


def describe_machine() -> str:
    """Processor, usable cores and operating system, in one line."""
    return f"{cpu()['cpu']}, {cpu_count()} cores, {platform.system()} {platform.machine()}"
