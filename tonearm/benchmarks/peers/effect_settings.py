"""How strong the effects are, tonearm's and the peers' alike, and the files that the clips are handed over in."""

MIN_SNR_DB, MAX_SNR_DB = 5.0, 40.0
MIN_RATE, MAX_RATE = 0.8, 1.25
MAX_SEMITONES = 4.0
MIN_CUTOFF_HZ, MAX_CUTOFF_HZ = 150.0, 7500.0
MIN_CENTER_HZ, MAX_CENTER_HZ = 200.0, 4000.0
TIME_MASK_FRAMES, FREQUENCY_MASK_BINS, NUM_MASKS = 64, 16, 2

CLIPS_FILE = "clips.npy"  # (batch, 1, time) float32
SPECGRAM_FILE = "log_mel.npy"  # the same clips as (batch, 1, mel, time) float32
RIR_FILE = "rir.wav"  # one second
BACKGROUND_FILE = "background.wav"  # twice as long as a clip
