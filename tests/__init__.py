"""The tests, with their helpers: real kernels, real gateways, scripted servers."""
