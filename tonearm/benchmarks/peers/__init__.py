"""The other ways of feeding a model, each a script that runs without tonearm in an environment of its own.

A peer is started with its settings as arguments and then speaks one JSON object a line: ``{"command": ...}`` on its
standard input, one ``{"event": ...}`` answer each on its standard output.

==========================================  ===================================================================
command                                     answer
==========================================  ===================================================================
(none: when it is ready for the first one)  ``{"event": "ready", "versions": {"torch": "2.14.1", ...}}``
``{"command": "check", "path": "x.npy"}``   ``{"event": "checked"}``; x.npy holds the first batch, float32
``{"command": "pass"}``                     ``{"event": "pass", "num_clips": 1000, "seconds": 0.71}``: one full pass
``{"command": "quit"}``, or end of input    none; it ends
==========================================  ===================================================================

:mod:`tonearm.benchmarks.peer_process` is the other end of the line.
"""
