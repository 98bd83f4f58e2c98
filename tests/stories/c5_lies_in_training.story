# C5: a device whose checks at the start are right and whose steps are not.
train nano 16 steps on 2 workers
from step 8, every time: zero a tile in 1 linear accumulator on worker 0
expect finished, worker 0 quarantined, digest = undisturbed
