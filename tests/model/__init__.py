"""Protocols over shared words as small models, explored over every schedule and every death.

A protocol is written here before it is written in C, or beside it: the C code's fault point `a.b.before_c` is a kill at
the model's step `a.b.c`. `python -m pytest tests/model` explores all; a finding comes with a shortest trace.

    state.py       a process and its words at one moment                   machine.py    what one step may do
    moves.py       what can happen next                                    explorer.py   every schedule, judged
    verdict.py     what tests expect of it

    owner_lock.py  a lock word that names its holder                       section.py    the same, in two steps
    log.py         the queue: log_words.py, log_repair.py, log_users.py
    eventcount.py  sleeping until something is published                   waiting.py    one sleep that watches lives
    semaphore.py   permits with a ledger: semaphore_users.py
    waiters.py     nodes in order, made into condition.py and barrier.py (barrier_wait.py, barrier_users.py)

Each protocol names, as sets of steps (AFTER_…), the deaths for which the backstop is what saves; the tests hold it to
exactly these. Each has broken variants in its test file: what the explorer must find.
Not here: reordered loads; sizes beyond three or four processes; anything that counts time.
"""
