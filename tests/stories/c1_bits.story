# C1: accumulators of products: bits.
train nano 16 steps on 2 workers
seed 44
at step 4: flip 7 bits in 1 matmul accumulator on worker 0
at step 8: flip 7 bits in 3 matmul accumulators on worker 1
at step 11: flip 7 bits in 1 linear_backward_weight accumulator on worker 0
expect finished, findings >= 1, replays >= 1, digest = undisturbed
