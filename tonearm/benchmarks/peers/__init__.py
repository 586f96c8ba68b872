"""The other ways of feeding a model, each a script that runs without tonearm in an environment of its own.

A peer is started with the clips and the batch size as arguments and then speaks one JSON object a line:
``{"command": ...}`` on its standard input, one ``{"event": ...}`` answer each on its standard output.

==================================================  =======================================================
command                                             answer
==================================================  =======================================================
(none: when it is ready for the first one)          ``{"event": "ready", "versions": {"torch": "2.14.1"}}``
``{"command": "prepare"}``: the clips are brought   ``{"event": "prepared", "files": [...]}``: what a pass
into the peer's own format, unless they are         reads; the WAV or FLAC files themselves where they need
already                                             no preparing
``{"command": "open", "settings": {"workers": 2},   ``{"event": "opened"}``: the next passes run with these
"num_clips": null}``                                settings over the first so many clips, or all; what was
                                                    open is closed
``{"command": "close"}``                            ``{"event": "closed"}``: no file is open or mapped
``{"command": "check", "folder": "x"}``             ``{"event": "checked"}``; see below
``{"command": "pass"}``                             ``{"event": "pass", "num_clips": 1000,
                                                    "seconds": 0.71}``: one full pass
``{"command": "quit"}``, or end of input            none; it ends
==================================================  =======================================================

A check is a full pass. It leaves in its folder the first two batches as ``0.npy`` and ``1.npy``, (batch, 1, time)
float32, and ``clips.json``: the clips' places in the listing, batch by batch, as ``numbers``, and the SHA-256 of each
clip's float32 samples in the same order as ``sha256``.

:mod:`tonearm.benchmarks.peers.protocol` is what the scripts share, :mod:`tonearm.benchmarks.peer_process` the other end
of the line.
"""
