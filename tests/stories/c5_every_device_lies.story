# C5: no device is right; the trusted CPU finishes alone.
train nano 12 steps on 2 workers
from step 4, every time: flip a high bit in 1 matmul accumulator on every worker
expect finished, quarantined = 2, digest = undisturbed
