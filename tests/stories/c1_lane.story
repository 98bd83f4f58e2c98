# C1: accumulators of products: lane.
train nano 16 steps on 2 workers
seed 45
at step 4: spoil a lane of 1 matmul accumulator on worker 0
at step 8: spoil a lane of 3 matmul accumulators on worker 1
at step 11: spoil a lane of 1 linear_backward_weight accumulator on worker 0
expect finished, findings >= 1, replays >= 1, digest = undisturbed
