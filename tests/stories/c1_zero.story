# C1: accumulators of products: zero.
train nano 16 steps on 2 workers
seed 49
at step 4: zero a tile in 1 matmul accumulator on worker 0
at step 8: zero a tile in 3 matmul accumulators on worker 1
at step 11: zero a tile in 1 linear_backward_weight accumulator on worker 0
expect finished, findings >= 1, replays >= 1, digest = undisturbed
