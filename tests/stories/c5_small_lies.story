# C5: a device whose every answer is a little wrong, less than checks can see.
train nano 60 steps on 2 workers with guard.replay=8
from step 3, every time: flip bit 2 in 1 linear accumulator on worker 1
expect finished, named worker 1 within 50 steps, quarantined = 1
