"""Principal directions with a settled sign."""

import numpy as np


def principal_directions(vectors: np.ndarray, dim: int) -> np.ndarray:
    """The `dim` directions of greatest second moment of float64 [n, d] vectors, strongest first: float64 [d, dim].

    The largest component of each is positive, so that the sign does not hang on the linear algebra library or
    its threads.
    """
    directions = np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, :dim]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0)[None, :], 0)
    return directions * np.where(largest < 0, -1.0, 1.0)
