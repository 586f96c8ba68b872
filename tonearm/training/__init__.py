"""From a packed dataset and a configuration to a trained classifier, its checkpoint and its log."""
