"""The loops of a worker, on real servers, with scripted agents."""
