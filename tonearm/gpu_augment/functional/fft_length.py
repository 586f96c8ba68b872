"""Lengths that FFT libraries are fast at."""


def fast_fft_length(minimum: int) -> int:
    """The smallest 2^a · 3^b · 5^c that is at least ``minimum``; FFT libraries are slow on larger prime factors.

    Example:
        >>> fast_fft_length(264_599), fast_fft_length(7)
        (270000, 8)
    """
    best: int = 1 << max(minimum - 1, 0).bit_length()
    five = 1
    while five < best:
        odd = five
        while odd < best:
            quotient = -(-minimum // odd)
            best = min(best, odd << (quotient - 1).bit_length())
            odd *= 3
        five *= 5
    return best
