"""One file per promise of speed: each prints the machine, the limit or peer, ours, the ratio.

The limit or peer is measured side by side in the same interleaved run, with durability on for
all; an absolute time on a noisy machine means nothing. `python3 dev.py bench` lists them.
"""
