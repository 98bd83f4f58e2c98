# B1: a connection breaks.
train nano 12 steps on 2 workers
at step 5: reset the link of worker 1
expect finished, digest = undisturbed
