# B1: an answer never arrives.
train nano 12 steps on 2 workers
at step 5: lose the answer of worker 1
expect finished, digest = undisturbed
