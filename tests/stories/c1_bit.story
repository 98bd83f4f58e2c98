# C1: accumulators of products: bit.
train nano 16 steps on 2 workers
seed 43
at step 4: flip a high bit in 1 matmul accumulator on worker 0
at step 8: flip a high bit in 3 matmul accumulators on worker 1
at step 11: flip a high bit in 1 linear_backward_weight accumulator on worker 0
expect finished, findings >= 1, replays >= 1, digest = undisturbed
