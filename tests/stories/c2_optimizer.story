# C2: the optimizer's results are changed in the keeper.
train nano 12 steps on 2 workers
at step 4: flip a high bit in 1 adamw result on the keeper
at step 8: flip bit 0 in 1 adamw result on the keeper
expect finished, digest = undisturbed
