# C2: ops that sum no products make a wrong result, which is checked before anybody reads it.
train nano 16 steps on 2 workers
at step 3: flip a high bit in 1 rms_norm accumulator on worker 0
at step 5: flip a high bit in 1 swiglu accumulator on worker 1
at step 7: zero a tile in 1 rope accumulator on worker 0
at step 9: miss a tile in 1 combine accumulator on worker 1
at step 11: swap two rows in 1 swiglu_backward accumulator on worker 0
at step 13: flip a bit in 1 embedding_backward accumulator on worker 1
expect finished, findings >= 6, digest = undisturbed
