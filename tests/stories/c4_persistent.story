# C4, G3: a device that errs at every step is named and quarantined.
train nano 16 steps on 2 workers
from step 5, every time: flip a high bit in 1 matmul accumulator on worker 1
expect finished, worker 1 quarantined, named worker 1 within 3 steps, quarantined = 1, digest = undisturbed
