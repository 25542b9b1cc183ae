"""What the descriptors of all faces have in common, for the starter engine.

dlib's network was trained for distances, not for angles: all its descriptors point roughly the same
way, so that two strangers have a cosine of 0.86. Without most of this common part strangers come
near 0 and the same person stays near 0.9.

MEAN is the mean of the descriptors of eight people, one photo each: the six of insightface's `t1`,
its Tom Hanks crop and scikit-image's astronaut. `tests/acceptance/test_starter_engine.py` computes
it again and compares. Eight people tell the common part only roughly, hence SHARE: over 0.7 to 0.9
little changes, with all of it people who were not among the eight are told apart less well.
"""

import numpy as np

SHARE = 0.8
# fmt: off
MEAN = np.array(
    [
        -0.093, 0.114, 0.079, -0.074, -0.111, -0.003, -0.049, -0.098, 0.156, -0.085, 0.183,
        -0.053, -0.231, -0.009, -0.015, 0.159, -0.170, -0.138, -0.094, -0.082, 0.002, 0.057,
        0.009, 0.055, -0.173, -0.295, -0.077, -0.087, 0.038, -0.106, 0.010, 0.023, -0.158,
        -0.009, 0.050, 0.090, -0.059, -0.097, 0.176, -0.006, -0.187, 0.005, 0.082, 0.256,
        0.218, 0.005, 0.041, -0.097, 0.133, -0.255, 0.070, 0.135, 0.082, 0.089, 0.082,
        -0.153, 0.006, 0.190, -0.204, 0.099, 0.085, -0.066, -0.009, -0.026, 0.197, 0.101,
        -0.143, -0.160, 0.177, -0.174, -0.053, 0.084, -0.102, -0.181, -0.296, 0.022, 0.372,
        0.136, -0.160, 0.003, -0.054, -0.020, 0.013, 0.101, -0.067, -0.060, -0.087, 0.042,
        0.237, -0.018, 0.004, 0.249, 0.022, -0.036, -0.009, 0.080, -0.143, -0.026, -0.104,
        -0.031, 0.003, -0.056, 0.005, 0.144, -0.191, 0.192, -0.021, -0.032, -0.036, -0.002,
        -0.067, -0.031, 0.181, -0.255, 0.162, 0.182, 0.059, 0.121, 0.043, 0.059, 0.032,
        -0.028, -0.139, -0.066, 0.006, -0.052, 0.020, 0.060,
    ],
    dtype=np.float64,
)
# fmt: on
