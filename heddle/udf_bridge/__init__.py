"""A step call -> a plugin -> batches: the interface (`transport`) and its implementations."""
