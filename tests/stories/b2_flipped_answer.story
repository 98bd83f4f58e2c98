# B2: a bit of an answer changes on its way.
train nano 12 steps on 2 workers
at step 4: flip a bit in the answer of worker 1
at step 8: flip 5 bits in the answer of worker 0
expect finished, resends >= 1, digest = undisturbed
