"""The magics, in real kernels and terminals."""
