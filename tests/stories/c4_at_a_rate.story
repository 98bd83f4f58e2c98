# C4: a device that errs now and then.
train nano 24 steps on 2 workers
seed 11
from step 3, every time: flip a high bit in every matmul accumulator on worker 1 with chance 0.01 each
expect finished, findings >= 1, digest = undisturbed
