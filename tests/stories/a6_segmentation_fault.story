# A6: SIGSEGV.
train nano 12 steps on 2 workers
at step 3 in forward: crash worker 0
at step 6 in op linear_backward_weight: crash worker 1
at step 9 in judging: crash the keeper
expect finished, respawns >= 3, digest = undisturbed
