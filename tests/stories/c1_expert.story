# C1: the product with another expert's weight.
train nano 16 steps on 2 workers
at step 4: take a wrong expert in 1 grouped_linear accumulator on worker 0
at step 8: take a wrong expert in 2 grouped_linear accumulators on worker 1
expect finished, findings >= 1, replays >= 1, digest = undisturbed
