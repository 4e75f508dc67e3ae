"""What would this policy have earned? Estimators, intervals and monitoring from logs of another policy.

`rounds` checks the log once, `weights` says how each estimator weighs it, `value` turns weights into estimates,
`intervals` and `sequences` say how sure they are, `select` chooses among them; slates, continuous actions, several
loggers and distributions are files of their own.
"""
