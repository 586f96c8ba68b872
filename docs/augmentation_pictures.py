"""The pictures of docs/augmentations.md: a sound before and after each effect, as waveform and spectrogram."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image

from docs.augmentation_examples import Example
from docs.augmentation_panels import Panel, panels
from docs.augmentation_sounds import DURATION_SECONDS, MEL_HOP_LENGTH, SAMPLE_RATE
from tonearm.gpu_augment import Augmentation

WIDTH_PIXELS, DOTS_PER_INCH = 720, 100
MAP_ROW_PIXELS, WAVEFORM_ROW_PIXELS = 210, 290
PANELS_IN_A_ROW = 3
RANGE_DB, STEP_DB = 60, 3  # few colours: small files
BLUE = "tab:blue"
N_FFT, HOP_LENGTH = 512, 256
COLORS = mpl.colormaps["magma"].resampled(RANGE_DB // STEP_DB)


def save_picture(effect: type[Augmentation], example: Example, description: Sequence[Any], path: Path) -> None:
    """Apply the effect to the example's sound, and draw both.

    Args:
        effect: its class.
        example: how it is shown.
        description: the effect with its settings, as plain data; one for each variant of the example.
        path: of the PNG. It holds neither a date nor a version.
    """
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user's own matplotlibrc says
        mpl.rc("font", family="DejaVu Sans", size=8)  # comes with matplotlib: the same everywhere
        mpl.rc("axes", titlesize=8, titlelocation="left", linewidth=0.6)
        mpl.rc("xtick.major", width=0.6)
        mpl.rc("ytick.major", width=0.6)
        figure = draw(panels(effect, example, description), example)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        rgba = np.asarray(canvas.buffer_rgba())
    picture = Image.fromarray(rgba).convert("RGB").quantize(palette=_palette(), dither=Image.Dither.NONE)
    picture.save(path, optimize=True)


def _palette() -> Image.Image:
    """The colours of a file: those of the maps, and what lies between white and black, and white and blue."""
    shades = np.linspace(0, 1, 12)[:, None]
    blue = np.array(to_rgb(BLUE))
    colors = np.concatenate([COLORS(np.arange(COLORS.N))[:, :3], shades * np.ones(3), 1 - shades * (1 - blue)])
    palette = Image.new("P", (1, 1))
    palette.putpalette([int(value) for value in np.round(255 * colors).flat])
    return palette


def draw(shown: Sequence[Panel], example: Example) -> Figure:
    """All panels on white, with one scale of loudness for all: 0 dB is the loudest cell before."""
    columns = len(shown) if len(shown) <= PANELS_IN_A_ROW + 1 else PANELS_IN_A_ROW
    rows = -(-len(shown) // columns)
    on_maps = shown[0].data.ndim == 2
    height = rows * (MAP_ROW_PIXELS if on_maps else WAVEFORM_ROW_PIXELS)
    figure = Figure((WIDTH_PIXELS / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, layout="constrained")
    maps = [panel.data if on_maps else spectrogram_db(panel.data) for panel in shown]
    loudest = float(maps[0].max())
    seen = slice(None)
    if example.zoom_seconds is not None:
        seen = slice(*(round(second * SAMPLE_RATE) for second in example.zoom_seconds))
    peak = max(0.0 if example.zoom_seconds else 1.0, *(float(np.abs(panel.data[seen]).max()) for panel in shown))
    heights = [1.0] if on_maps else [1.0, 1.5]
    grid = figure.subplots(rows * len(heights), columns, squeeze=False, height_ratios=heights * rows)
    image = None
    for place, (panel, cells) in enumerate(zip(shown, maps, strict=True)):
        row, column = divmod(place, columns)
        axes = grid[row * len(heights) : (row + 1) * len(heights), column]
        axes[0].set_title(panel.title)
        if not on_maps:
            _draw_waveform(axes[0], panel.data, shown[0].data, example.zoom_seconds, peak)
            axes[0].set_ylabel("amplitude" if column == 0 else "")
        image = _draw_map(axes[-1], cells - loudest, mel=on_maps, narrow=columns > PANELS_IN_A_ROW)
        axes[-1].set_ylabel(("mel bin" if on_maps else "kHz") if column == 0 else "")
        for one in axes:
            one.tick_params(labelleft=column == 0)
    for unused in range(len(shown), rows * columns):
        row, column = divmod(unused, columns)
        for axes in grid[row * len(heights) : (row + 1) * len(heights), column]:
            axes.set_visible(False)
    assert image is not None
    figure.colorbar(image, ax=list(grid.flat), label="dB", shrink=0.6, aspect=30, ticks=range(-RANGE_DB, 1, 20))
    return figure


def _draw_waveform(
    axes: Axes,
    waveform: NDArray[np.float32],
    before: NDArray[np.float32],
    zoom_seconds: tuple[float, float] | None,
    peak: float,
) -> None:
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    if zoom_seconds is None:
        per_column = SAMPLE_RATE // 200
        whole = waveform[: len(waveform) // per_column * per_column].reshape(-1, per_column)
        seconds = (np.arange(len(whole)) + 0.5) * (per_column / SAMPLE_RATE)
        axes.fill_between(seconds, whole.min(axis=1), whole.max(axis=1), color=BLUE, linewidth=0.5)
        axes.set_xlim(0, DURATION_SECONDS)
        axes.tick_params(labelbottom=False)
        return
    begin, end = (round(second * SAMPLE_RATE) for second in zoom_seconds)
    milliseconds = np.arange(begin, end) * (1000 / SAMPLE_RATE)
    if waveform is not before:
        axes.plot(milliseconds, before[begin:end], color="0.7", linewidth=0.8)
    axes.plot(milliseconds, waveform[begin:end], color=BLUE, linewidth=0.9)
    axes.set_xlim(milliseconds[0], milliseconds[-1])
    axes.set_xlabel("ms")


def _draw_map(axes: Axes, decibels: NDArray[np.float32], *, mel: bool, narrow: bool) -> AxesImage:
    hop_seconds = (MEL_HOP_LENGTH if mel else HOP_LENGTH) / SAMPLE_RATE
    top = len(decibels) if mel else SAMPLE_RATE / 2000
    extent = (0.0, decibels.shape[1] * hop_seconds, 0.0, top)
    axes.set_facecolor("0.9")  # where a clip has ended
    image = axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=COLORS,
        vmin=-RANGE_DB,
        vmax=0,
        interpolation="nearest",
    )
    axes.set_xlim(0, DURATION_SECONDS)
    axes.set_xlabel("s")
    axes.set_xticks([0, 1, 2] if narrow else [0, 0.5, 1, 1.5, 2])
    axes.xaxis.set_major_formatter("{x:g}")
    return image


def spectrogram_db(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """(bin, frame) power in dB, two bins of the transform together."""
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(torch.from_numpy(waveform), N_FFT, HOP_LENGTH, window=window, return_complex=True)
    power = spectrum.abs().square()[: N_FFT // 2].unflatten(0, (-1, 2)).mean(dim=1)
    decibels: NDArray[np.float32] = (10 * torch.log10(power + 1e-10)).numpy()
    return decibels
