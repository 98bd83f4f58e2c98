# C1: accumulators of products: missing.
train nano 16 steps on 2 workers
seed 50
at step 4: miss a tile in 1 matmul accumulator on worker 0
at step 8: miss a tile in 3 matmul accumulators on worker 1
at step 11: miss a tile in 1 linear_backward_weight accumulator on worker 0
expect finished, findings >= 1, replays >= 1, digest = undisturbed
