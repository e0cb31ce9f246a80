"""Things that run: the durable engine, the stages of a run, agents, model drivers, workspaces, sandbox, verification.

`execution.flows` gives the order, `execution.stages` the behaviours, `execution.ports` what they need of others.
Nothing an agent hands back has authority: it becomes evidence here, and a verdict in `governance` and `scoring`.
"""
