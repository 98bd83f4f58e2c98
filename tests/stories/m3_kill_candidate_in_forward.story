# M3: the target dies in forward; the run goes on where it was.
train nano 40 steps on 2 workers
from step 2: let every worker sleep for 0.05 seconds
at step 3: move worker 1 to reference
every step in forward, up to 1 times: kill the candidate of worker 1
expect finished, moves = 0, moves_refused = 1, digest = undisturbed
