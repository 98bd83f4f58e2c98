# M5: who is moved from dies while it is, and the keeper too.
train nano 60 steps on 2 workers
from step 2: let every worker sleep for 0.05 seconds
at step 3: move worker 1 to reference
at step 4 in forward: kill worker 1
at step 5 in joining: kill the keeper
expect finished, moves = 1, moves_refused = 0, digest = undisturbed
