"""The front-end: waveforms to normalised log-mel spectrograms.

    power[k, t] = |Σ_n window[n] · x[t·hop + n] · exp(-2πi·kn / n_fft)|²     or its square root, the magnitude
    mel[m, t]   = Σ_k triangle_m[k] · power[k, t]
    log_mel     = (10·log10(max(mel, floor) + offset) - mean) / std          or the natural logarithm

With its defaults (Hann window, edges reflected, HTK's mel scale, triangles of height 1, dB with a floor of 1e-10) the
mel part equals torchaudio.transforms.MelSpectrogram; other settings equal librosa's (tests/models/test_features.py).
One computation has three ways here: torch.stft, which has gradients and runs on any device; blocks of frames on a CPU
(tonearm.models.log_mel_blocks); and a convolution for export, where complex numbers are a burden.
"""

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError, ShapeError
from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.models.full_precision import full_precision
from tonearm.models.log_mel_blocks import group_bands, write_log_mel
from tonearm.models.mel_filterbank import mel_filterbank
from tonearm.models.windowed_dft import centred_window, windowed_dft


class LogMel(nn.Module):
    """Log-mel spectrograms, in dB unless configured otherwise, normalised by :meth:`set_normalization`.

    Always computes in float32, also under autocast: the power of a loud window passes float16's 65,504.

    Args:
        config: window, hop, bands and range.
        sample_rate: Hz of the waveforms to come.

    Attributes:
        config, sample_rate: what it was made of.
        min_samples: the shortest waveform it takes.

    Raises:
        ConfigError: f_min and f_max are not in order below half the sample rate.

    Example:
        >>> log_mel = LogMel(FeaturesConfig(n_fft=512, win_length=400, hop_length=160, n_mels=40), sample_rate=16_000)
        >>> log_mel(torch.zeros(2, 1, 16_000)).shape
        torch.Size([2, 1, 40, 101])
    """

    window: Tensor
    filters: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: FeaturesConfig, *, sample_rate: int) -> None:
        super().__init__()
        nyquist = sample_rate / 2
        f_max = nyquist if config.f_max is None else config.f_max
        if not config.f_min < f_max <= nyquist:
            raise ConfigError(
                f"features.f_min and f_max: got {config.f_min:g} to {f_max:g} Hz; "
                f"at {sample_rate} Hz they may be 0 to {nyquist:g}, in this order."
            )
        self.config, self.sample_rate = config, sample_rate
        self.n_fft, self.win_length, self.hop_length = config.n_fft, config.win_length, config.hop_length
        self.padding, self.power, self.log = config.padding, config.power, config.log
        self.floor, self.offset = config.floor, config.offset
        self._padded = 0 if config.padding == "none" else config.n_fft // 2  # at each end
        # to mirror i samples takes i + 1
        self.min_samples = {"reflect": self._padded + 1, "zeros": 1, "none": config.n_fft}[config.padding]
        filters = mel_filterbank(
            sample_rate=sample_rate,
            n_fft=config.n_fft,
            n_mels=config.n_mels,
            f_min=config.f_min,
            f_max=f_max,
            scale=config.mel_scale,
            norm=config.mel_norm,
        )
        self._groups = group_bands(filters)
        self._bins = range(
            min(group.first_bin for group in self._groups), max(group.last_bin for group in self._groups)
        )
        self._window = centred_window(config.window, win_length=config.win_length, n_fft=config.n_fft)
        # The window and the filters follow from the config; a checkpoint need not carry them.
        self.register_buffer("window", torch.from_numpy(self._window).float(), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("mean", torch.zeros(config.n_mels, 1))
        self.register_buffer("std", torch.ones(config.n_mels, 1))

    def set_normalization(self, mean: Tensor | float, std: Tensor | float) -> None:
        """Subtract ``mean`` and divide by ``std`` from now on; both are saved in state_dict.

        Args:
            mean: dB, one number or one a mel band, (n_mels,).
            std: the same, above 0.

        Raises:
            ShapeError: neither one number nor one a band, or a std that is not above 0.
        """
        mean, std = (torch.as_tensor(value, dtype=torch.float32, device=self.mean.device) for value in (mean, std))
        for name, value in (("mean", mean), ("std", std)):
            if value.shape not in ((), (len(self.mean),)):
                raise ShapeError(f"{name}: got shape {tuple(value.shape)}; it may be () or ({len(self.mean)},).")
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std > 0).all()):
            raise ShapeError(f"mean must be finite and std above 0, got {mean} and {std}.")
        self.mean.copy_(mean.reshape(-1, 1).expand_as(self.mean))
        self.std.copy_(std.reshape(-1, 1).expand_as(self.std))

    def frames(self, num_samples: int) -> int:
        """How many frames a waveform of ``num_samples`` becomes."""
        return (num_samples + 2 * self._padded - self.n_fft) // self.hop_length + 1

    def samples(self, num_frames: int) -> int:
        """The fewest samples that become ``num_frames`` frames."""
        return max(self.min_samples, (num_frames - 1) * self.hop_length + self.n_fft - 2 * self._padded)

    def frames_within(self, num_samples: int) -> int:
        """How many frames see nothing beyond the first ``num_samples`` samples, at least one."""
        return max(num_samples + self._padded - self.n_fft, 0) // self.hop_length + 1

    def forward(self, waveform: Tensor) -> Tensor:
        """The normalised log-mel spectrogram.

        Args:
            waveform: (batch, channel, time), any floating dtype; at least :attr:`min_samples` samples.

        Returns:
            (batch, channel, mel, frames(time)) float32; dB as long as no normalisation is set.

        Raises:
            ShapeError: another number of axes, integers, or too few samples.
        """
        check_waveform(waveform)
        with full_precision(waveform):
            if torch.compiler.is_exporting():  # lengths are symbols here, of which nothing can be asked
                return self._by_convolution(waveform)
            if waveform.shape[-1] < self.min_samples:
                raise ShapeError(
                    f"waveform: got {tuple(waveform.shape)}; it may be (batch, channel, time) with at least "
                    f"{self.min_samples} samples: n_fft is {self.n_fft} and padding {self.padding}."
                )
            if waveform.numel() == 0 or self._on_plain_cpu(waveform):
                return self._by_blocks(waveform)
            return self._by_stft(waveform)

    def _on_plain_cpu(self, waveform: Tensor) -> bool:
        """Whether there is nothing but numbers to be had: no gradient, no graph."""
        return (
            waveform.device.type == "cpu"
            and type(waveform) is Tensor
            and self.filters.dtype == torch.float32
            and not (torch.is_grad_enabled() and waveform.requires_grad)
            and forward_ad.unpack_dual(waveform).tangent is None
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            # and nobody who watches or transforms operations, which they do in this thread alone
            and torch._C._len_torch_dispatch_stack() == 0
            and torch._C._functorch.peek_interpreter_stack() is None
        )

    def _by_stft(self, waveform: Tensor) -> Tensor:
        """Operation by operation on the whole batch."""
        spectrum = torch.stft(
            waveform.float().flatten(0, 1),
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=self.padding != "none",
            pad_mode="reflect" if self.padding == "reflect" else "constant",
            return_complex=True,
        )
        if self.power == 1:
            power = spectrum.abs()  # whose gradient at silence is 0, unlike that of the root of a sum of squares
        else:
            power = torch.view_as_real(spectrum).square().sum(dim=-1)
        return self._finished((self.filters @ power).unflatten(0, waveform.shape[:2]))

    def _by_blocks(self, waveform: Tensor) -> Tensor:
        """The same without a gradient, in buffers that fit a core's cache."""
        shape = (*waveform.shape[:2], len(self.filters), self.frames(waveform.shape[-1]))
        out = torch.empty(shape, dtype=torch.float32, device=waveform.device)
        if waveform.numel() > 0:
            write_log_mel(
                waveform.flatten(0, 1),
                out.flatten(0, 1),
                window=self.window,
                filters=self.filters,
                groups=self._groups,
                hop_length=self.hop_length,
                before=self._padded,
                reflect=self.padding == "reflect",
                magnitude=self.power == 1,
                finish=self._finish,
            )
        return out

    def _by_convolution(self, waveform: Tensor) -> Tensor:
        """The same without complex numbers, for an exported graph; a dynamic time takes at least ``samples(2)``."""
        bins = self._bins
        mode = "reflect" if self.padding == "reflect" else "constant"
        clips = functional.pad(waveform.float().flatten(0, 1)[:, None], (self._padded, self._padded), mode=mode)
        basis = self._basis().to(clips.device)
        parts = functional.conv1d(clips, basis, stride=self.hop_length).unflatten(1, (2, len(bins)))
        power = parts.square().sum(dim=1)
        if self.power == 1:
            power = power.sqrt()
        # also a convolution: the product of matrices would ask whether there is but one frame
        mel = functional.conv1d(power, self.filters[:, bins.start : bins.stop, None])
        return self._finished(mel.unflatten(0, waveform.shape[:2]))

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def _basis(self) -> Tensor:
        """Made while a graph is recorded, so that no module in memory carries its megabytes."""
        return windowed_dft(self._window, bins=self._bins)

    def _finished(self, mel: Tensor) -> Tensor:
        """Logarithm and normalisation of (..., n_mels, frames)."""
        mel = mel.clamp(min=self.floor) + self.offset
        log_mel = 10.0 * mel.log10() if self.log == "db" else mel.log()
        return (log_mel - self.mean) / self.std

    def _finish(self, mel: Tensor, out: Tensor) -> None:
        """The same in place, the end of it in ``out``."""
        mel.clamp_(min=self.floor)
        if self.offset > 0:
            mel.add_(self.offset)
        if self.log == "db":
            mel.log10_().mul_(10.0)
        else:
            mel.log_()
        torch.div(mel.sub_(self.mean), self.std, out=out)
