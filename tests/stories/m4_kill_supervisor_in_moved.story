# M4: the supervisor dies just after the move is recorded: it is done.
train nano 40 steps on 2 workers
from step 2: let every worker sleep for 0.05 seconds
at step 3: move worker 1 to reference
every step in moved, up to 1 times: kill the supervisor
expect finished, restarts = 1, moves_refused = 0, digest = undisturbed
