# B2: a finished gradient is changed between the worker that made it and the keeper.
train nano 16 steps on 2 workers
at step 3: flip a bit in the gradient of worker 0
at step 6: swap two chunks in the gradient of worker 1
at step 9: cut the gradient of worker 1
at step 12: flip bit 0 in the gradient of worker 0
expect finished, findings >= 4, digest = undisturbed
