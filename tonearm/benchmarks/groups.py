"""The groups of the loading benchmark: rows are compared with peers on the same kind of data and cache."""

PCM_WARM = "pcm, warm page cache"
PCM_TRAINING = "pcm as training loads it, warm page cache"
FLAC_WARM = "flac, warm page cache"
PCM_COLD = "pcm, cold page cache"
FLAC_COLD = "flac, cold page cache"
