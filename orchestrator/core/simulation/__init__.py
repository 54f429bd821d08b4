"""A plan run over a trace in virtual time. Pure.

Read `run` first: it plays a trace over what `opening` made of a decision. Requests are spread by `gateway` with the
choice of `runtimes.gateway.routing`; `alternating` and `mixed` are the two ways engines batch, over the seats of
`engine`; `pace` says how long things take. `view` makes the answer from what `tally` counted.
"""
