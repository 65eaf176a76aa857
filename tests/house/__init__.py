"""What holds for the tree itself: names, packaging, locks, purity, links, deployment files."""
