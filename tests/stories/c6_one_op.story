# C6: one op is wrong for one layout, at every step.
train nano 16 steps on 2 workers
from step 2, every time: miss a tile in every grouped_linear accumulator on worker 1
expect finished, worker 1 quarantined, digest = undisturbed
