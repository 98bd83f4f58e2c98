# C3: weights and moments change in memory.
train nano 20 steps on 2 workers
at step 4: flip a bit in the state
at step 8: flip 3 bits in the state
at step 14: flip bit 0 in the state
expect finished, rollbacks >= 3, digest = undisturbed
