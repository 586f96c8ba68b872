"""Measuring: what every figure about speed in this project comes from.

:mod:`~tonearm.benchmarks.harness` times contestants in one interleaved run, :mod:`~tonearm.benchmarks.report` keeps
what came out together with its :mod:`~tonearm.benchmarks.environment`, and :mod:`~tonearm.benchmarks.table` shows it.
What is measured stands in :mod:`~tonearm.benchmarks.loader`, :mod:`~tonearm.benchmarks.augment` and
:mod:`~tonearm.benchmarks.train`. docs/design/benchmark-harness.md says why it is done this way.
"""
