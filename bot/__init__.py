"""GitHub and people: webhooks, slash commands, check runs, pull requests, the gate and the command line.

The top of the house: it may import every other package, and none imports it. Handlers declare in `bot.ports` the few
methods they need; `bot.wiring` and `bot.local` put the objects together.
"""
