"""gpu_augment."""
