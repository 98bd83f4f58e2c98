# M2: the target computes well, but what it holds when it is to take over is not the state.
train nano 40 steps on 2 workers
from step 2: let every worker sleep for 0.05 seconds
at step 3: move worker 1 to reference
every step in comparing, up to 1 times: flip a bit in the copy of the candidate of worker 1
expect finished, moves = 0, moves_refused = 1, digest = undisturbed
