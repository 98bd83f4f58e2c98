# C1: accumulators of products: swap.
train nano 16 steps on 2 workers
seed 48
at step 4: swap two rows in 1 matmul accumulator on worker 0
at step 8: swap two rows in 3 matmul accumulators on worker 1
at step 11: swap two rows in 1 linear_backward_weight accumulator on worker 0
expect finished, findings >= 1, replays >= 1, digest = undisturbed
