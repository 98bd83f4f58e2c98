# M1: a live run moves to another backend and back, one worker after the other, and nobody can tell.
train nano 100 steps on 2 workers
from step 2: let every worker sleep for 0.05 seconds
at step 4: move worker 1 to reference
at step 60: move every worker to cpu
expect finished, moves = 2, moves_refused = 0, digest = undisturbed
