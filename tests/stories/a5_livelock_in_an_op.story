# A5: the same in the middle of an op.
train nano 12 steps on 2 workers
at step 5 in op attention: livelock worker 0
expect finished, respawns >= 1, digest = undisturbed
