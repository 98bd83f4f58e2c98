# E1: nothing checks, and one step's weights are a little wrong: the run goes on with them, until its supervisor dies before the next checkpoint. The
# steps made again differ from what was committed; the trusted CPU says which is right, and the run goes on from there.
train nano 24 steps on 2 workers with run.checkpoint_every=100
verify off
at step 6: flip bit 20 in 3 linear_backward_weight results on worker 0
at step 12 in committed: kill the supervisor
expect finished, restarts = 1, rollbacks = 1, findings >= 1, digest = undisturbed
