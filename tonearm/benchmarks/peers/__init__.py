"""The other ways of loading and augmenting, each a script that runs without tonearm, most in an environment of theirs.

A peer is started with what it needs to know of the clips as arguments and then speaks one JSON object a line:
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

A check of one that loads is a full pass. It leaves in its folder the first two batches as ``0.npy`` and ``1.npy``,
(batch, 1, time) float32, and ``clips.json``: the clips' places in the listing, batch by batch, as ``numbers``, and the
SHA-256 of each clip's float32 samples in the same order as ``sha256``.

One that augments finds the clips in its folder (``effect_settings.py`` has the names). The setting ``effect`` names
what the next passes do; ``num_clips`` says nothing to it, and what was open stays open. A pass repeats the effect on
the batch for a while and counts every clip each time; a check leaves what one call makes as ``0.npy``.

:mod:`tonearm.benchmarks.peers.protocol` is what all scripts share, ``loading.py`` and ``augmenting.py`` what those of a
kind do, :mod:`tonearm.benchmarks.peer_process` the other end of the line.
"""
