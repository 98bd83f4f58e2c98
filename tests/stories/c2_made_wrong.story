# C2: ops that sum no products make a wrong result, which is checked before anybody reads it.
train nano 16 steps on 2 workers
at step 3: flip a high bit in 1 rms_norm accumulator on a worker
at step 5: flip a high bit in 1 swiglu accumulator on a worker
at step 7: zero a tile in 1 rope accumulator on a worker
at step 9: miss a tile in 1 combine accumulator on a worker
at step 11: swap two rows in 1 swiglu_backward accumulator on a worker
at step 13: flip a bit in 1 embedding_backward accumulator on a worker
expect finished, findings >= 6, digest = undisturbed
