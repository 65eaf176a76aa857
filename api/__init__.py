"""The front of the house: HTTP, the `owl` commands, and the server's only composition root.

Law: may import every room but `gpu_agent`, which is another program; the routes translate and
decide nothing.
"""
