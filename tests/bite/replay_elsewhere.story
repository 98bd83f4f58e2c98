# A worker that lies is replayed on the other one: the trusted CPU has nothing to do.
train nano 12 steps on 2 workers with guard.replay=0
from step 4, every time: flip a high bit in 1 matmul accumulator on worker 1
expect finished, worker 1 quarantined, digest = undisturbed
