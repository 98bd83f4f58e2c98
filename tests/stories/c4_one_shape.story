# C4: only one shape is wrong.
train nano 16 steps on 2 workers
from step 4, every time: spoil a stripe of every linear accumulator on worker 0 of 128 rows
expect finished, findings >= 1, digest = undisturbed
