"""The most memory that a piece of work takes from torch's allocator while it runs."""

import os
from collections.abc import Callable
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile


def peak_growth(run: Callable[[], object], device: torch.device) -> int:
    """How many bytes more than before lie on ``device`` at the busiest moment of ``run()``.

    A GPU's allocator keeps count. On a CPU a profiler notes every request of torch's allocator: not the resident set,
    which keeps what was freed, and not what a library takes without asking torch. The profiler slows ``run`` down, so
    this is never what is timed.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler tells the terminal that it begins and ends
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
        run()
    # Neither the events torch shows nor its averages keep what an operation took and gave back within itself.
    results = profiled.profiler.kineto_results
    requests = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    peak: int = max(accumulate((size for _, size in requests), initial=0))
    return peak
