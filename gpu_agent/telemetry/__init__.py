"""What a GPU host can say about itself: inventory, samples and health.

Law: absent is ``None``, never 0. A figure that the hardware does not give must not look like an
idle device, because the platform places work by these figures.
"""
