# M6: every device of a backend is wrong again and again; before the trusted CPU goes on alone, the run moves to the backend that is kept for that.
train nano 20 steps on 1 worker with guard.spare=reference
from step 2: let every worker sleep for 0.3 seconds on the trusted CPU too
from step 4, every time: flip a high bit in 1 linear accumulators on worker 0
expect finished, quarantined = 1, moves = 1, digest = undisturbed
