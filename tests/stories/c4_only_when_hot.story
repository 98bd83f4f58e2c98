# C4: right at first, wrong after a while.
train nano 40 steps on 2 workers
from step 1, every time: flip a high bit in every linear accumulator on worker 1 after 0.05 seconds
expect finished, findings >= 1, digest = undisturbed
