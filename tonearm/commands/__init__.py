"""The commands, by what they work on; :mod:`tonearm.cli` puts them together."""
