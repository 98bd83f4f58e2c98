# E2: neither the text nor its ids are what they were: there is nothing to train on, and the run waits for whoever can put the text back.
train nano 16 steps on 2 workers
at step 4: flip a bit in the data
at step 4: truncate the tokens
expect waiting, skipped = 0
