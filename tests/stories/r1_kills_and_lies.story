# A run whose samples the model writes itself: struck where completions are written, learned from, joined and kept.
rl nano 14 steps on 2 workers with run.checkpoint_every=4
at step 2 in forward: kill worker 1
at step 3 in backward: kill worker 0
at step 4 in joining: kill the keeper
at step 5: flip a high bit in 3 matmul accumulators on worker 0
at step 6: flip 3 bits in the gradient of worker 1
at step 7 in committing: kill everything
at step 9: flip a high bit in the state
at step 10: flip 2 bits in 2 rms_norm results on worker 0
at step 12 in forward: kill every worker
expect finished, digest = undisturbed, restarts = 1, findings >= 3
