# C2: an op's result is never stored.
train nano 12 steps on 2 workers
at step 4: drop 1 linear result on worker 0
at step 8: drop 1 rope result on worker 1
expect finished, findings >= 1, digest = undisturbed
