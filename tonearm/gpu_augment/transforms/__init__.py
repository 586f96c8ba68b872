"""The effects as modules: each samples, for each clip, the parameters that its function takes. One family a file.

Parameters are drawn as fractions of a clip wherever they can be, so that sampling needs no lengths from the device.
"""
