"""How fast things are, as ratios within one run; run by hand on a quiet machine."""
